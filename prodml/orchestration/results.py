"""Results of nodes and runs, and the observer interface for their progress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from prodml.dsl.executor import RowCount


class NodeState(StrEnum):
    """How a node ended."""

    COMPLETE = "complete"
    CACHED = "cached"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def is_success(self) -> bool:
        return self in (NodeState.COMPLETE, NodeState.CACHED)


@dataclass(frozen=True)
class NodeResult:
    """How a node ended.

    Attributes:
        outputs: ids of its artifacts by output key; empty unless it succeeded.
        message: why it ran, was cached, failed or was skipped.
        notes: messages of the executor for the user, such as a verdict.
        seconds: wall time of the node.
        peak_memory: highest resident memory of the process during the node, in bytes; 0 if it was
            not measured.
        log: file with the node's output; empty if the node did not run.
        execution_id: id of the execution in ML Metadata; 0 if absent.
        attempt: number of the attempt, from 1; 0 if the node did not run.
        blocked_by: ids of the failed nodes because of which the node was skipped; empty if it was
            not skipped, or only because a condition was not met.
        superseded: why the cached result is not current in the outside world, for example because
            another model was pushed after this one; None if it is current.
    """

    node_id: str
    state: NodeState
    outputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    message: str = ""
    notes: tuple[str, ...] = ()
    row_counts: tuple[RowCount, ...] = ()
    seconds: float = 0.0
    peak_memory: int = 0
    log: str = ""
    execution_id: int = 0
    attempt: int = 0
    blocked_by: tuple[str, ...] = ()
    superseded: str | None = None


@dataclass(frozen=True)
class RunResult:
    """How a run ended; `nodes` are in topological order."""

    run_id: str
    pipeline: str
    nodes: tuple[NodeResult, ...]
    seconds: float

    @property
    def failures(self) -> list[NodeResult]:
        return [node for node in self.nodes if node.state is NodeState.FAILED]

    @property
    def is_success(self) -> bool:
        """Whether no node failed; a node whose condition was not met is not a failure."""
        return not self.failures


class Observer(Protocol):
    """Receives the progress of a run; called from any thread."""

    def node_started(self, node_id: str, reason: str) -> None: ...

    def node_progress(self, node_id: str, done: int, total: int | None, unit: str) -> None: ...

    def node_retried(self, failed: NodeResult, wait_seconds: float) -> None: ...

    def node_finished(self, result: NodeResult) -> None: ...
