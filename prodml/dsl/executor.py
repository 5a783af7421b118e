"""What the engine and an executor know of each other."""

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
        """A new `beam.Pipeline`, to be used as a context manager."""


class Reporter(Protocol):
    """Takes what a running node has to say to the person who waits."""

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """`done` of `total` (None where unknown) `unit`s, such as rows or steps."""


@dataclass(frozen=True)
class RowCount:
    """Where the rows of one split went: `read == written + sum(dropped.values())`."""

    split: str
    read: int
    written: int
    dropped: Mapping[str, int]


@dataclass(frozen=True)
class DriverResult:
    """What a component's `driver.py` finds before the cache is asked.

    `driver.py` holds `resolve(parameters: Mapping[str, Any]) -> DriverResult`, or
    `judge_cached(result: CachedResult) -> CacheVerdict`, or both. It imports nothing heavy: it
    runs on every plan.

    Attributes:
        fingerprint: changes when the outside world that the node reads has changed.
        description: the same for a person, such as "span 4, 1 file, 2.1 MB".
        resolved: JSON values that the executor gets as `context.resolved`.
    """

    fingerprint: str
    description: str
    resolved: Mapping[str, Any]


@dataclass(frozen=True)
class CachedResult:
    """A result that the cache found, for a component's driver to compare with the outside world.

    Attributes:
        pipeline_name, node_id: whose result it is.
        parameters: values by name, of the types that the component declares.
        outputs: artifacts by output key.
    """

    pipeline_name: str
    node_id: str
    parameters: Mapping[str, Any]
    outputs: Mapping[str, Sequence[Artifact]]


@dataclass(frozen=True)
class CacheVerdict:
    """How a cached result compares with the outside world; by default it is what stands there.

    Attributes:
        run_again: why the node must run again; None if the result is used.
        superseded: why the result is used but is not what stands there; None if it is.
    """

    run_again: str | None = None
    superseded: str | None = None


@dataclass
class ExecutorContext:
    """All that an executor gets; it writes files under its outputs and sets their properties.

    Attributes:
        inputs: resolved artifacts by input key; an optional input not given is an empty tuple.
        declared_inputs: input keys that the author gave channels for, resolved or not: tells an
            input that was never asked for from one that was and found nothing.
        outputs: one artifact by output key, its `uri` an existing empty directory.
        parameters: values by name, of the types that the component declares.
        resolved: what the component's driver found; empty where it has none.
        tmp_dir: scratch directory, removed when the node has ended.
        beam: opens Beam pipelines.
        reporter: takes progress.
        peak_memory: highest resident memory while it ran, in bytes; set by the engine, 0 until
            then and where it was not measured.
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
        """The one artifact of an input.

        Raises:
            ValueError: there is not exactly one.
            UserCodeError: it is of another type.
        """
        artifacts = self.inputs[key]
        if len(artifacts) != 1:
            raise ValueError(f"input {key!r}: expected one artifact, got {len(artifacts)}")
        return _as(artifacts[0], type, f"input {key!r}")

    def optional_input(self, key: str, type: type[A]) -> A | None:
        """The one artifact of an optional input, or None where it was not given."""
        return self.input(key, type) if self.inputs.get(key) else None

    def output(self, key: str, type: type[A]) -> A:
        """The artifact of an output, to be filled.

        Raises:
            UserCodeError: it is of another type.
        """
        return _as(self.outputs[key], type, f"output {key!r}")

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """Tells how far the node is; call it a few times a second at most."""
        self.reporter.progress(done, total, unit)

    def note(self, text: str) -> None:
        """One line for the end of the run, such as a verdict with its figures."""
        self.notes.append(redact(text))

    def reconcile(
        self, split: str, read: int, written: int, dropped: Mapping[str, int] | None = None
    ) -> None:
        """Records where the rows of a split went.

        Args:
            split: the split, or "all".
            read: rows that came in.
            written: rows that went out, or were fully used.
            dropped: rows left out, by reason.

        Raises:
            RowCountError: they do not add up.
        """
        dropped = dict(dropped or {})
        if read != written + sum(dropped.values()):
            raise RowCountError(
                f"split {split!r}: {read} rows read, but {written} written and {dropped} dropped"
            )
        self.row_counts.append(RowCount(split, read, written, dropped))


def _as(artifact: Artifact, type: type[A], what: str) -> A:
    """The artifact as an instance of a type; types are the same if their names are."""
    if isinstance(artifact, type):
        return artifact
    if artifact.type_name != type.type_name:
        raise UserCodeError(
            f"{what} is of type {artifact.type_name}, and the executor asked for "
            f"{type.type_name} ({type.__module__}.{type.__qualname__}); ask for the type that the "
            f"component declares"
        )
    # A file that was imported twice has declared its class twice. The engine reads what the
    # executor sets, so it stays the same object.
    artifact.__class__ = type
    return artifact  # type: ignore[return-value]
