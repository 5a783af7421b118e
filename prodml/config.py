"""Loads run configurations from YAML and PRODML_ environment variables; rejects unknown keys."""

from __future__ import annotations

import dataclasses
import difflib
import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prodml.beam.profiles import RunnerProfile
from prodml.config_sections import Events, Metadata
from prodml.errors import ConfigError
from prodml.keras_choice import DEFAULT, KerasName
from prodml.metadata.connection import Connection, SqliteConnection
from prodml.orchestration.settings import NodeLimits, RetryPolicy, RunSettings
from prodml.retraining.triggers import Triggers
from prodml.secrets import REFUSED_TYPE
from prodml.yaml_documents import YamlError, parse_yaml

if TYPE_CHECKING:
    from prodml.metadata.store import Store
    from prodml.orchestration.events.sinks import OpenSinks

_PREFIX = "PRODML_"


class RunConfig(BaseModel):
    """A run configuration.

    Attributes:
        home: default directory of everything that prodml writes.
        pipeline_root: directory or URL of artifacts; by default `artifacts` under `home`.
        metadata: connection to ML Metadata; by default SQLite under `home`.
        runner: Beam runner of data-parallel executors.
        params: runtime parameters of the pipeline.
        module_roots: directories that must contain all user code, after links are resolved; by
            default user code may be anywhere.
        keras: what `tf.keras` means: `tf_keras` (Keras 2) or `keras` (Keras 3).
        retry: how failed nodes are retried.
        nodes: limits by node id.
        grace_seconds: how long nodes of a cancelled run may take to stop.
        events: additional receivers of the run's events.
        retrain: what makes a run due for `prodml retrain` and `prodml schedule`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    home: str = ".prodml"
    pipeline_root: str | None = None
    metadata: Metadata = Metadata()
    runner: RunnerProfile = RunnerProfile()
    params: dict[str, Any] = Field(default_factory=dict)
    module_roots: tuple[str, ...] = ()
    keras: KerasName = DEFAULT
    retry: RetryPolicy = RetryPolicy()
    nodes: dict[str, NodeLimits] = Field(default_factory=dict)
    grace_seconds: float = Field(default=30.0, gt=0)
    events: Events = Events()
    retrain: Triggers = Triggers()

    @property
    def artifacts_path(self) -> str:
        return self.pipeline_root or os.path.join(self.home, "artifacts")

    @property
    def metadata_connection(self) -> Connection:
        server = self.metadata.mysql or self.metadata.postgresql or self.metadata.grpc
        path = self.metadata.sqlite or os.path.join(self.home, "metadata.db")
        return server or SqliteConnection(path)

    def open_store(self) -> Store:
        """Opens the metadata store; creates it if it does not exist."""
        from prodml.metadata.store import Store

        return Store(self.metadata_connection, self.metadata.retry_seconds)

    def existing_store(self) -> Store | None:
        """Opens the metadata store; None if it is a SQLite file that does not exist."""
        where = self.metadata_connection
        is_missing = isinstance(where, SqliteConnection) and not os.path.exists(where.path)
        return None if is_missing else self.open_store()

    @property
    def logs_path(self) -> str:
        return os.path.join(self.home, "logs")

    def run_settings(self, use_cache: bool) -> RunSettings:
        """Returns the settings of a run for the engine.

        Args:
            use_cache: whether nodes may come from the cache.
        """
        return RunSettings(
            metadata=self.metadata_connection,
            pipeline_root=self.artifacts_path,
            log_root=self.logs_path,
            runner=self.runner,
            scratch_root=os.path.join(self.home, "scratch"),
            use_cache=use_cache,
            retry=self.retry,
            limits=self.nodes,
            retry_seconds=self.metadata.retry_seconds,
            keras=self.keras,
        )

    def event_sinks(self) -> OpenSinks:
        """Returns the function that opens the event sinks of a run.

        Raises:
            ConfigError: the token of the OpenLineage server cannot be read.
        """
        from prodml.orchestration.events.sinks import sinks_of_runs

        lineage_file = os.path.join(self.home, "openlineage.jsonl")
        return sinks_of_runs(self.logs_path, self.events.openlineage, lineage_file)


def load_config(path: str | None, environment: Mapping[str, str] | None = None) -> RunConfig:
    """Loads a configuration from a file, overridden by the environment.

    `PRODML_A__B=value` sets key `b` of section `a`; values are parsed as YAML, so `4` is a number.

    Args:
        path: YAML file; None for the defaults.
        environment: environment variables; by default those of the process.

    Raises:
        ConfigError: the configuration is invalid; the message names the file, the key and the
            allowed values.
    """
    environment = os.environ if environment is None else environment
    document = _read(path) if path else {}
    variables = _override(document, environment)
    try:
        return RunConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError(_explain(path or "configuration", variables, error)) from None


def _read(path: str) -> dict[str, Any]:
    try:
        document = parse_yaml(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"configuration file {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration file {path} cannot be read: {error}") from None
    except YamlError as error:
        raise ConfigError(f"{path}: {error}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected keys and values, got {type(document).__name__}")
    return document


def _override(
    document: dict[str, Any], environment: Mapping[str, str]
) -> dict[tuple[str, ...], str]:
    """Sets the keys that variables name; returns the variable of each key that was set."""
    variables = {}
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
            place[last] = parse_yaml(text)
        except YamlError as error:
            # The value is not shown: it may be a secret instead of a reference to one.
            raise ConfigError(f"{name}: {error}; put quotes around a text value") from None
        variables[*parts, last] = name
    return variables


def _explain(path: str, variables: Mapping[tuple[str, ...], str], error: ValidationError) -> str:
    problems: dict[str, list[str]] = {}
    for problem in error.errors():
        where = tuple(str(step) for step in problem["loc"])
        set_by = (variables.get(where[:end]) for end in range(len(where), 0, -1))
        lines = problems.setdefault(next(filter(None, set_by), path), [])
        key = ".".join(where)
        if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            allowed = _allowed(problem["loc"][:-1])
            close = difflib.get_close_matches(str(problem["loc"][-1]), allowed, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            lines.append(f"unknown key {key!r}{hint} allowed: {', '.join(allowed)}")
        elif problem["type"] == "value_error":
            lines.append(f"{key}: {problem['ctx']['error']}")
        elif problem["type"] in _WITHOUT_INPUT or not _is_printable(problem["input"]):
            lines.append(f"{key}: {problem['msg']}")
        else:
            lines.append(f"{key}: {problem['msg']}, got {problem['input']!r}")
    return "\n".join(f"{source}: {'; '.join(lines)}" for source, lines in problems.items())


_WITHOUT_INPUT = (
    REFUSED_TYPE,
    "missing",
    "model_type",
    "model_attributes_type",
    "dataclass_type",
)
"""Errors whose input is not shown, because it may contain a secret instead of a reference."""


def _is_printable(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _allowed(where: tuple[int | str, ...]) -> list[str]:
    """Returns the keys of the configuration section at a location."""
    part: Any = RunConfig
    for step in where:
        if typing.get_origin(part) is dict:
            _, part = typing.get_args(part)
        elif dataclasses.is_dataclass(part):
            part = typing.get_type_hints(part)[str(step)]
        else:
            part = part.model_fields[step].annotation
        if isinstance(part, types.UnionType):
            part = next(t for t in typing.get_args(part) if t is not type(None))
    if dataclasses.is_dataclass(part):
        return sorted(field.name for field in dataclasses.fields(part))
    return sorted(part.model_fields)
