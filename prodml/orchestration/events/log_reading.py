"""Reads the event log of a run, also of an active or killed run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prodml.documents import parse_json
from prodml.orchestration.events.appended_lines import GrowingLines
from prodml.orchestration.events.event import EventKind
from prodml.orchestration.events.log_writing import NAME


@dataclass(frozen=True)
class LoggedEvent:
    """A line of the event log: its text and its fields."""

    line: str
    fields: Mapping[str, Any]

    def text(self, key: str) -> str:
        """A field as text; empty if absent."""
        return str(self.fields.get(key, ""))


class EventLogReader:
    """Reads the events of a run, oldest first.

    Args:
        log_dir: directory of the run's logs; it need not exist yet.
    """

    def __init__(self, log_dir: str) -> None:
        self._lines = GrowingLines(os.path.join(log_dir, NAME))
        self.has_ended = False
        """Whether the latest event of the run as a whole, of those read so far, is its end."""

    def read(self) -> list[LoggedEvent]:
        """The events written since the last call; incomplete lines are skipped."""
        events = [event for line in self._lines.read() if (event := _event(line)) is not None]
        for event in events:
            if event.text("event").startswith("run_"):
                self.has_ended = event.text("event") == EventKind.RUN_ENDED
        return events


def started_not_ended(log_dir: str) -> list[LoggedEvent]:
    """The start events of nodes without an end event, because their process was killed."""
    open_nodes: dict[str, LoggedEvent] = {}
    for event in EventLogReader(log_dir).read():
        match event.text("event"):
            case EventKind.NODE_STARTED:
                open_nodes[event.text("execution")] = event
            case EventKind.NODE_RETRIED | EventKind.NODE_ENDED:
                open_nodes.pop(event.text("execution"), None)
            case EventKind.RUN_ENDED:
                open_nodes.clear()
    return list(open_nodes.values())


def ended_executions(log_dir: str) -> set[int]:
    """Ids of the executions that have an end event."""
    return {
        event.fields["execution"]
        for event in EventLogReader(log_dir).read()
        if event.text("event") == EventKind.NODE_ENDED and "execution" in event.fields
    }


def _event(line: bytes) -> LoggedEvent | None:
    try:
        fields = parse_json(line.decode())
    except ValueError:
        return None
    return LoggedEvent(line.decode(), fields) if isinstance(fields, dict) else None
