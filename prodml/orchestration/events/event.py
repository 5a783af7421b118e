"""Events of a run: one record type for all observers and logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from prodml.artifacts import Artifact
from prodml.dsl.executor import RowCount


class EventKind(StrEnum):
    """The kind of an event."""

    RUN_STARTED = "run_started"
    RUN_RESUMED = "run_resumed"
    RUN_ENDED = "run_ended"
    NODE_STARTED = "node_started"
    NODE_RETRIED = "node_retried"
    """An attempt failed, and the node is retried."""
    NODE_ENDED = "node_ended"


@dataclass(frozen=True)
class Event:
    """An event of a run.

    Attributes:
        time: Unix seconds.
        node_id: the node; empty for events of the run as a whole.
        execution_id: the execution in ML Metadata; 0 if absent.
        attempt: number of the attempt to run the node, from 1; 0 if it did not run.
        state: final state of the run (a RunState) or of the node (a NodeState); empty before the
            end.
        message: why the node ran, was cached or was skipped; why the node or run failed.
        seconds: duration of the node or run, if it has ended.
        log: file with the node's output.
        inputs, outputs: artifacts by key; outputs only after they are published.
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
    """Receives events, one at a time, in the order in which they happened."""

    def emit(self, event: Event) -> None:
        """Receives an event; never raises, because reporting must not fail a run."""

    def close(self) -> None:
        """Waits, for a bounded time, until all received events are written or sent."""
