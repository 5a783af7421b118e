"""Arguments and options that several commands take, and what they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from prodml.cli.terminal import say

if TYPE_CHECKING:
    from prodml.compiler.spec import PipelineSpec
    from prodml.config import RunConfig
    from prodml.metadata.reading import LineageReader
    from prodml.metadata.records import LeaseRecord

LARGEST_NUMBER = 2**63 - 1
"""ML Metadata's ids have 64 bits."""

PipelineFile: TypeAlias = Annotated[
    str, typer.Argument(metavar="PIPELINE.py", help="Python file with one @pipeline.")
]
ConfigFile: TypeAlias = Annotated[
    str | None, typer.Option("--config", metavar="F", help="Run configuration, a YAML file.")
]
Params: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="k=v", help="A runtime parameter; may be repeated."),
]
NoCache: TypeAlias = Annotated[
    bool, typer.Option("--no-cache", help="Run every node, whatever the cache holds.")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit: TypeAlias = Annotated[
    int, typer.Option("--limit", min=1, max=LARGEST_NUMBER, help="How many, newest first.")
]


def load_spec(
    path: str,
    values: Mapping[str, Any],
    params: list[str] | None = None,
    *,
    module_roots: Sequence[str],
) -> PipelineSpec:
    """The spec of the pipeline in a file; verdicts that nothing reads are warned of.

    Args:
        values: runtime parameters, such as those of the configuration.
        params: `name=value` texts of --param, which override them.
        module_roots: directories that the file and all modules it names must lie in; where there
            are none, they may lie anywhere.

    Raises:
        RequestError: the file, the pipeline or a parameter is wrong.
    """
    from prodml.compiler.compile import compile_pipeline
    from prodml.compiler.unread_verdicts import unread_verdicts
    from prodml.dsl.pipeline import PipelineDefinition
    from prodml.dsl.user_code import load_module
    from prodml.errors import DefinitionError, ParameterError, RequestError, UserCodeError
    from prodml.orchestration.code.module_roots import require_inside, require_modules_inside

    require_inside(module_roots, path, "pipeline file")
    try:
        module = load_module(path)
    except UserCodeError as error:
        raise RequestError(str(error)) from error
    found = [v for v in vars(module).values() if isinstance(v, PipelineDefinition)]
    found = [d for d in found if d.location.file == module.__file__] or found
    if len(found) != 1:
        names = ", ".join(definition.name for definition in found) or "none"
        raise DefinitionError(f"{path} must define one @pipeline; it has: {names}")
    (definition,) = found
    values = dict(values)
    for text in params or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise ParameterError(f"--param {text!r}: write name=value")
        values[name] = definition.parse(name, value)
    try:
        spec = compile_pipeline(definition.build(values))
    except UserCodeError as error:
        raise RequestError(str(error)) from error
    for warning in unread_verdicts(spec):
        say(f"warning: {warning}", is_error=True)
    require_modules_inside(module_roots, spec)
    return spec


def open_reader(config: RunConfig) -> LineageReader | None:
    """The metadata store for reading, or None where nothing has been recorded yet.

    Runs whose process died are recorded as such first, so that none of them is shown as running.
    """
    import contextlib

    from prodml.errors import MetadataError
    from prodml.metadata.reading import LineageReader
    from prodml.orchestration.recovery.dead_runs import settle_dead_runs

    store = config.existing_store()
    if store is None:
        return None
    # A store that may only be read is read.
    with contextlib.suppress(MetadataError):
        settle_dead_runs(store)
    return LineageReader(store)


def require_reader(config: RunConfig) -> LineageReader:
    """The metadata store for reading.

    Raises:
        NotFoundError: nothing has been recorded yet.
    """
    from prodml.errors import NotFoundError

    reader = open_reader(config)
    if reader is None:
        raise NotFoundError(
            f"there is no metadata store at {config.metadata_connection}; run a pipeline first, "
            f"or name its configuration with --config"
        )
    return reader


def quiet_tensorflow() -> None:
    """Keeps TensorFlow, not imported yet, from speaking of CPU instructions and missing GPUs."""
    import os

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def say_for_whom(lease: LeaseRecord) -> None:
    """Tells that a command waits for a pipeline, and who holds it."""
    say(
        f"waiting for run {lease.run_id} of {lease.pipeline} (process {lease.holder.pid} on "
        f"{lease.holder.host})",
        is_error=True,
    )
