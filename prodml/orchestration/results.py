"""What became of a node and of a run, and who is told while it goes on."""

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
        notes: what the executor wants the user to know, such as a verdict.
        seconds: wall time of the node.
        peak_memory: highest resident memory of the process during the node, in bytes; 0 where
            it was not measured.
        log: file with what the node printed; empty where it did not run.
        execution_id: in ML Metadata; 0 where there is none.
        attempt: which attempt it was, from 1; 0 where it did not run.
        blocked_by: ids of the failed nodes because of which it was skipped; empty if it was not,
            or only because a condition did not hold.
        superseded: why its cached result is not what stands in the outside world, such as a model
            that was pushed before another one; None if it is.
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
        """Nothing failed; a node whose condition did not hold is no failure."""
        return not self.failures


class Observer(Protocol):
    """Is told how a run goes on, from any thread."""

    def node_started(self, node_id: str, reason: str) -> None: ...

    def node_progress(self, node_id: str, done: int, total: int | None, unit: str) -> None: ...

    def node_retried(self, failed: NodeResult, wait_seconds: float) -> None: ...

    def node_finished(self, result: NodeResult) -> None: ...
