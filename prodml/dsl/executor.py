"""The interface between the engine and the executors and drivers of components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from prodml.artifacts import Artifact
from prodml.errors import RowCountError, UserCodeError
from prodml.secrets import redact

A = TypeVar("A", bound=Artifact)


class Beam(Protocol):
    """Opens Beam pipelines on the runner that the configuration names."""

    def pipeline(self) -> Any:
        """Returns a new `beam.Pipeline`, to be used as a context manager."""


class Reporter(Protocol):
    """Receives the progress of a running node."""

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """Reports that `done` of `total` units are done.

        Args:
            done: finished units.
            total: all units; None if unknown.
            unit: name of the unit, such as rows or steps.
        """


@dataclass(frozen=True)
class RowCount:
    """Row counts of one split: `read == written + sum(dropped.values())`."""

    split: str
    read: int
    written: int
    dropped: Mapping[str, int]


@dataclass(frozen=True)
class DriverResult:
    """The result of a component's driver, which runs before the cache lookup.

    `driver.py` defines `resolve(parameters: Mapping[str, Any]) -> DriverResult`, or
    `judge_cached(result: CachedResult) -> CacheVerdict`, or both. It runs on every plan, so it
    must not import large libraries.

    Attributes:
        fingerprint: a value that changes if the external data that the node reads changes.
        description: description of the data for people, such as "span 4, 1 file, 2.1 MB".
        resolved: JSON values that the executor gets as `context.resolved`.
    """

    fingerprint: str
    description: str
    resolved: Mapping[str, Any]


@dataclass(frozen=True)
class CachedResult:
    """A cached result, which a component's driver compares with external state.

    Attributes:
        pipeline_name: the pipeline of the result.
        node_id: the node of the result.
        parameters: values by name, of the types that the component declares.
        outputs: artifacts by output key.
    """

    pipeline_name: str
    node_id: str
    parameters: Mapping[str, Any]
    outputs: Mapping[str, Sequence[Artifact]]


@dataclass(frozen=True)
class CacheVerdict:
    """How a cached result compares with external state; by default they match.

    Attributes:
        run_again: the reason to run the node again; None to use the cached result.
        superseded: the reason why external state differs although the cached result is used; None
            if they match.
    """

    run_again: str | None = None
    superseded: str | None = None


@dataclass
class ExecutorContext:
    """The argument of an executor, which writes files to its outputs and sets their properties.

    Attributes:
        pipeline_name: name of the pipeline.
        run_id: id of the run.
        node_id: id of the node.
        inputs: resolved artifacts by input key; an empty tuple for an optional input without any.
        declared_inputs: input keys with a channel, resolved or not. They distinguish an input that
            the author did not connect from one whose channel has no artifacts.
        outputs: one artifact by output key; its `uri` is an existing empty directory.
        parameters: values by name, of the types that the component declares.
        resolved: `DriverResult.resolved`; empty if the component has no driver.
        tmp_dir: scratch directory, removed when the node has ended.
        beam: opens Beam pipelines.
        reporter: receives progress.
        row_counts: row counts of splits, added by `reconcile`.
        notes: lines for the end of the run, added by `note`.
        peak_memory: peak resident memory in bytes, set by the engine; 0 until then and if it was
            not measured.
    """

    pipeline_name: str
    run_id: str
    node_id: str
    inputs: Mapping[str, Sequence[Artifact]]
    outputs: Mapping[str, Artifact]
    parameters: Mapping[str, Any]
    resolved: Mapping[str, Any]
    tmp_dir: str
    beam: Beam
    reporter: Reporter
    declared_inputs: frozenset[str] = frozenset()
    row_counts: list[RowCount] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    peak_memory: int = 0

    def input(self, key: str, type: type[A]) -> A:
        """Returns the only artifact of an input.

        Raises:
            ValueError: the input does not have exactly one artifact.
            UserCodeError: the artifact is of another type.
        """
        artifacts = self.inputs[key]
        if len(artifacts) != 1:
            raise ValueError(f"input {key!r}: expected one artifact, got {len(artifacts)}")
        return _as(artifacts[0], type, f"input {key!r}")

    def optional_input(self, key: str, type: type[A]) -> A | None:
        """Returns the only artifact of an optional input; None if absent."""
        return self.input(key, type) if self.inputs.get(key) else None

    def output(self, key: str, type: type[A]) -> A:
        """Returns the artifact of an output, whose directory the executor fills.

        Raises:
            UserCodeError: the artifact is of another type.
        """
        return _as(self.outputs[key], type, f"output {key!r}")

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """Reports progress; call it at most a few times a second."""
        self.reporter.progress(done, total, unit)

    def note(self, text: str) -> None:
        """Adds a line to the summary of the run, such as a verdict with its figures."""
        self.notes.append(redact(text))

    def reconcile(
        self, split: str, read: int, written: int, dropped: Mapping[str, int] | None = None
    ) -> None:
        """Records how many rows of a split were read, written and dropped.

        Args:
            split: the split, or "all".
            read: rows that the executor read.
            written: rows that it wrote, or used completely.
            dropped: dropped rows by reason.

        Raises:
            RowCountError: the counts do not add up.
        """
        dropped = dict(dropped or {})
        if read != written + sum(dropped.values()):
            raise RowCountError(
                f"split {split!r}: {read} rows read, but {written} written and {dropped} dropped"
            )
        self.row_counts.append(RowCount(split, read, written, dropped))


def _as(artifact: Artifact, type: type[A], what: str) -> A:
    """Returns the artifact as an instance of a type; types with the same name are equal."""
    if isinstance(artifact, type):
        return artifact
    if artifact.type_name != type.type_name:
        raise UserCodeError(
            f"{what} is of type {artifact.type_name}, but the executor requested "
            f"{type.type_name} ({type.__module__}.{type.__qualname__}); request the type that the "
            f"component declares"
        )
    # If a file was imported twice, its class exists twice. The object is not copied, because the
    # engine reads the properties that the executor sets on it.
    artifact.__class__ = type
    return artifact  # type: ignore[return-value]
