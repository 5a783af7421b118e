"""Sends the events of a run to its observer and its event sinks."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from prodml.artifacts import Artifact
from prodml.orchestration.events.event import Event, EventKind, EventSink
from prodml.orchestration.results import NodeResult, Observer

Artifacts = Mapping[str, Sequence[Artifact]]


class Announcements:
    """Sends the events of one run to its observer and its event sinks.

    Args:
        observer: shows progress to the user.
        sinks: event sinks; each receives one event at a time.
    """

    def __init__(
        self, pipeline: str, run_id: str, observer: Observer, sinks: Sequence[EventSink]
    ) -> None:
        self._pipeline = pipeline
        self._run_id = run_id
        self._observer = observer
        self._sinks = sinks
        self._lock = threading.Lock()

    def run_started(self, is_resumed: bool) -> None:
        self._emit(EventKind.RUN_RESUMED if is_resumed else EventKind.RUN_STARTED)

    def run_ended(self, state: str, message: str, seconds: float) -> None:
        self._emit(EventKind.RUN_ENDED, state=state, message=message, seconds=seconds)

    def node_started(
        self,
        node_id: str,
        execution_id: int,
        attempt: int,
        reason: str,
        log: str,
        inputs: Artifacts,
    ) -> None:
        self._observer.node_started(node_id, _nth(attempt, reason))
        self._emit(
            EventKind.NODE_STARTED,
            node_id=node_id,
            execution_id=execution_id,
            attempt=attempt,
            message=reason,
            log=log,
            inputs=inputs,
        )

    def node_progress(self, node_id: str, done: int, total: int | None, unit: str) -> None:
        self._observer.node_progress(node_id, done, total, unit)

    def node_retried(self, failed: NodeResult, wait_seconds: float) -> None:
        """Announces that an attempt failed and that another one follows after `wait_seconds`."""
        self._observer.node_retried(failed, wait_seconds)
        self._emit(EventKind.NODE_RETRIED, **_fields(failed))

    def node_ended(self, result: NodeResult, inputs: Artifacts, outputs: Artifacts) -> None:
        self._observer.node_finished(result)
        fields = {**_fields(result), "inputs": inputs, "outputs": outputs}
        self._emit(EventKind.NODE_ENDED, **fields, row_counts=result.row_counts)

    def replay(self, events: Sequence[Event], result: NodeResult) -> None:
        """Announces the events of a node that ran in another process.

        Args:
            events: the node's events, oldest first.
            result: how the node ended.
        """
        for event in events:
            if event.kind is EventKind.NODE_STARTED:
                self._observer.node_started(event.node_id, _nth(event.attempt, event.message))
            if event.kind is EventKind.NODE_ENDED:
                self._observer.node_finished(result)
            self._send(event)

    def close(self) -> None:
        """Closes all sinks: waits, for a bounded time, until all events are written or sent."""
        for sink in self._sinks:
            sink.close()

    def _emit(self, kind: EventKind, **fields: Any) -> None:
        self._send(Event(kind, time.time(), self._run_id, self._pipeline, **fields))

    def _send(self, event: Event) -> None:
        with self._lock:
            for sink in self._sinks:
                sink.emit(event)


def _nth(attempt: int, reason: str) -> str:
    return reason if attempt == 1 else f"attempt {attempt}, {reason}"


def _fields(result: NodeResult) -> dict[str, Any]:
    return {
        "node_id": result.node_id,
        "execution_id": result.execution_id,
        "attempt": result.attempt,
        "state": str(result.state),
        "message": result.message,
        "seconds": result.seconds,
        "log": result.log,
    }
