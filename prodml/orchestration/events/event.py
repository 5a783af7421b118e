"""What happens in a run, as events: one record for everything that is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from prodml.artifacts import Artifact
from prodml.dsl.executor import RowCount


class EventKind(StrEnum):
    """What happened."""

    RUN_STARTED = "run_started"
    RUN_RESUMED = "run_resumed"
    RUN_ENDED = "run_ended"
    NODE_STARTED = "node_started"
    NODE_RETRIED = "node_retried"
    """An attempt failed, and another one follows."""
    NODE_ENDED = "node_ended"


@dataclass(frozen=True)
class Event:
    """Something that happened in a run.

    Attributes:
        time: Unix seconds.
        node_id: the node; empty for what happened to the run as a whole.
        execution_id: the execution in ML Metadata; 0 where there is none.
        attempt: which attempt to run the node, from 1; 0 where it was not run.
        state: how the run (a RunState) or the node (a NodeState) ended; empty before.
        message: why the node ran, was cached or was skipped; why the node or run failed.
        seconds: how long the node or run took, where it has ended.
        log: file with what the node printed.
        inputs, outputs: artifacts by key; outputs only once they are published.
    """

    kind: EventKind
    time: float
    run_id: str
    pipeline: str
    node_id: str = ""
    execution_id: int = 0
    attempt: int = 0
    state: str = ""
    message: str = ""
    seconds: float = 0.0
    log: str = ""
    inputs: Mapping[str, Sequence[Artifact]] = field(default_factory=dict)
    outputs: Mapping[str, Sequence[Artifact]] = field(default_factory=dict)
    row_counts: Sequence[RowCount] = ()


class EventSink(Protocol):
    """Takes events, one at a time, in the order in which they happened."""

    def emit(self, event: Event) -> None:
        """Never raises: what is told of a run must not end it."""

    def close(self) -> None:
        """Returns when what was taken is written or sent, or after a bounded time."""
