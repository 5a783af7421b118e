"""The pipeline options of each Beam runner: which exist, their types, and how they become flags.

`runner_options.json` contains the options, so that a configuration is checked without importing
Beam: groups by the name of the class that declares them, and the type of each option.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

_EVERY_RUNNER = (
    "StandardOptions",
    "TypeOptions",
    "SetupOptions",
    "DebugOptions",
    "ProfilingOptions",
    "CrossLanguageOptions",
    "S3Options",
    "AzureOptions",
    "HadoopFileSystemOptions",
)
_JAVA_JOB_SERVER = (
    # Declared in Java, and described by the job server on request.
    "java.FileStagingOptions",
    "java.GcpOptions",
    "java.GcsOptions",
    "java.ManualDockerEnvironmentOptions",
    "java.PipelineOptions",
    "java.PortablePipelineOptions",
    "java.RemoteEnvironmentOptions",
    "java.SdkHarnessOptions",
    # Declared in Python; the later declaration counts.
    "PortableOptions",
    "JobServerOptions",
    "JavaJobServerOptions",
)
_FLINK = (
    "java.FlinkPipelineOptions",
    "java.VersionDependentFlinkPipelineOptions",
    "FlinkRunnerOptions",
)
_SPARK = ("java.SparkCommonPipelineOptions", "java.SparkPipelineOptions", "SparkRunnerOptions")

RUNNERS: Mapping[str, tuple[str, ...]] = {
    "FnApiRunner": ("DirectOptions",),
    "PrismRunner": ("PortableOptions", "JobServerOptions", "PrismRunnerOptions"),
    "FlinkRunner": (*_JAVA_JOB_SERVER, *_FLINK),
    "SparkRunner": (*_JAVA_JOB_SERVER, *_SPARK),
    "DataflowRunner": ("GoogleCloudOptions", "WorkerOptions"),
    "PortableRunner": (*_JAVA_JOB_SERVER, *_FLINK, *_SPARK),
}
"""The groups of options of each runner, besides those of every runner."""

_NOT_CONFIGURED = frozenset(
    {"no_wait_until_finish", "output_executable_path", "runner", "streaming", "template_location"}
)
"""Options with which a job would not run, or not be complete when its node is recorded."""

_EXPECTED = {
    "flag": "true or false",
    "flag, true by default": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "text": "a text or a number",
    "list": "a list of texts",
    "json": "keys and values",
}


def option_problem(runner: str, name: str, value: Any) -> str | None:
    """Returns what is wrong with a pipeline option of a runner; None if it is valid.

    Args:
        runner: a key of `RUNNERS`.
        name: name of the option, without dashes.
        value: value of the option, as in YAML.
    """
    options = _options(runner)
    if name not in options:
        near = difflib.get_close_matches(name, options, n=3)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        owners = ", ".join(other for other in RUNNERS if name in _options(other))
        return f"{runner} has no option {name!r}{f', but {owners} has' if owners else hint}"
    kind = options[name]
    if _has_kind(value, kind):
        return None
    expected = _EXPECTED[kind] if isinstance(kind, str) else f"one of {', '.join(kind)}"
    quoted = "" if isinstance(kind, str) else ", in quotes"
    return f"option {name!r} expects {expected}{quoted}, got {value!r}"


def flags(runner: str, options: Mapping[str, Any]) -> list[str]:
    """Returns options as the flags that Beam parses.

    Args:
        runner: a key of `RUNNERS`.
        options: valid options; None stands for an option that is not set.
    """
    known = _options(runner)
    return [
        flag
        for name, value in options.items()
        if value is not None
        for flag in _flags(name, value, known)
    ]


def _flags(name: str, value: Any, known: Mapping[str, Any]) -> Iterator[str]:
    match value:
        case bool():
            # Beam turns a flag of a Java option that is true by default into its opposite.
            if value != (known.get(name) == "flag, true by default"):
                yield f"--{name}"
            elif not value and f"no_{name}" in known:
                yield f"--no_{name}"
        case list() | tuple():
            yield from (f"--{name}={item}" for item in value)
        case dict():
            yield f"--{name}={json.dumps(value)}"
        case _:
            yield f"--{name}={value}"


def _has_kind(value: Any, kind: str | list[str]) -> bool:
    match kind:
        case _ if value is None:
            return True
        case "flag" | "flag, true by default":
            return isinstance(value, bool)
        case _ if isinstance(value, bool):
            return False
        case "integer":
            return isinstance(value, int)
        case "number":
            return isinstance(value, int | float)
        case "text":
            return isinstance(value, str | int | float)
        case "list":
            items = value if isinstance(value, list | tuple) else [value]
            return all(isinstance(item, str | int | float) for item in items)
        case "json":
            return isinstance(value, dict | str)
        case _:
            return value in kind


@functools.cache
def _options(runner: str) -> dict[str, str | list[str]]:
    text = resources.files("prodml.beam").joinpath("runner_options.json").read_text("utf-8")
    groups = json.loads(text)
    names = (*_EVERY_RUNNER, *RUNNERS[runner])
    found = {name: kind for group in names for name, kind in groups[group].items()}
    return {name: kind for name, kind in found.items() if name not in _NOT_CONFIGURED}
