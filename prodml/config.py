"""Run configurations: YAML, then PRODML_ environment variables; unknown keys are errors."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prodml.errors import ConfigError
from prodml.secrets import REFUSED_TYPE

if TYPE_CHECKING:
    from prodml.orchestration.run import RunSettings

_PREFIX = "PRODML_"


class Metadata(BaseModel):
    """Where ML Metadata is kept.

    Attributes:
        sqlite: database file; by default `metadata.db` under `home`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sqlite: str | None = None


class Runner(BaseModel):
    """Where data-parallel executors run.

    Attributes:
        name: a Beam runner, such as FnApiRunner or FlinkRunner.
        options: Beam pipeline options by name, without dashes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "FnApiRunner"
    options: dict[str, Any] = Field(default_factory=dict)


class RunConfig(BaseModel):
    """A run configuration.

    Attributes:
        home: directory for everything that is not set elsewhere.
        pipeline_root: directory of artifacts; by default `artifacts` under `home`.
        params: runtime parameters of the pipeline.
        module_roots: directories that users' code must lie in, links followed; anywhere by default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    home: str = ".prodml"
    pipeline_root: str | None = None
    metadata: Metadata = Metadata()
    runner: Runner = Runner()
    params: dict[str, Any] = Field(default_factory=dict)
    module_roots: tuple[str, ...] = ()

    @property
    def artifacts_path(self) -> str:
        return self.pipeline_root or os.path.join(self.home, "artifacts")

    @property
    def metadata_path(self) -> str:
        return self.metadata.sqlite or os.path.join(self.home, "metadata.db")

    @property
    def logs_path(self) -> str:
        return os.path.join(self.home, "logs")

    def run_settings(self, use_cache: bool) -> RunSettings:
        """What the engine needs of it."""
        from prodml.beam.profiles import RunnerProfile
        from prodml.orchestration.run import RunSettings

        return RunSettings(
            metadata_path=self.metadata_path,
            pipeline_root=self.artifacts_path,
            log_root=self.logs_path,
            runner=RunnerProfile(self.runner.name, self.runner.options),
            use_cache=use_cache,
        )


def load_config(path: str | None, environment: Mapping[str, str] | None = None) -> RunConfig:
    """A configuration from a file, overridden by the environment.

    `PRODML_A__B=value` sets key `b` of part `a`; values are read as YAML, so that `4` is a number.

    Args:
        path: YAML file; None for the defaults.
        environment: by default the process's.

    Raises:
        ConfigError: names the file, the key and what is allowed.
    """
    environment = os.environ if environment is None else environment
    document = _read(path) if path else {}
    _override(document, environment)
    try:
        return RunConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError(_explain(path or "configuration", error)) from None


def _read(path: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"configuration file {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration file {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {_place(error)}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected keys and values, got {type(document).__name__}")
    return document


def _override(document: dict[str, Any], environment: Mapping[str, str]) -> None:
    for name, text in sorted(environment.items()):
        if not name.startswith(_PREFIX):
            continue
        *parts, last = name.removeprefix(_PREFIX).lower().split("__")
        place = document
        for part in parts:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{name}: {part!r} has a value, not keys")
            place = inner
        try:
            place[last] = yaml.safe_load(text)
        except yaml.YAMLError:
            # Its value is not shown: it may be a secret that should have been a reference.
            raise ConfigError(f"{name} is not YAML; put quotes around its value") from None


def _explain(source: str, error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(step) for step in problem["loc"])
        if problem["type"] == "extra_forbidden":
            allowed = _allowed(problem["loc"][:-1])
            close = difflib.get_close_matches(str(problem["loc"][-1]), allowed, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            lines.append(f"unknown key {key!r}{hint} allowed: {', '.join(allowed)}")
        elif problem["type"] in _SAYS_ENOUGH or not _is_shown(problem["input"]):
            lines.append(f"{key}: {problem['msg']}")
        else:
            lines.append(f"{key}: {problem['msg']}, got {problem['input']!r}")
    return f"{source}: {'; '.join(lines)}"


def _place(error: yaml.YAMLError) -> str:
    """What is wrong and where, without the line itself: a secret may stand in it."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return type(error).__name__
    mark = error.problem_mark
    return f"{error.problem}, line {mark.line + 1}, column {mark.column + 1}"


_SAYS_ENOUGH = (REFUSED_TYPE, "missing", "model_type", "model_attributes_type")
"""Errors whose input is not shown: a secret may be in it, in the place of a reference."""


def _is_shown(given: object) -> bool:
    return given is None or isinstance(given, bool | int | float | str)


def _allowed(where: tuple[int | str, ...]) -> list[str]:
    model: Any = RunConfig
    for step in where:
        model = model.model_fields[step].annotation
    return sorted(model.model_fields)
