"""Reads the event log of a run, also while it is written, and of a run that was killed."""

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
    """A line of the event log: as it stands there, and its fields."""

    line: str
    fields: Mapping[str, Any]

    def text(self, key: str) -> str:
        """A field as text; empty where it is missing."""
        return str(self.fields.get(key, ""))


class EventLogReader:
    """The events of a run, oldest first.

    Args:
        log_dir: directory of the run's logs; it need not exist yet.
    """

    def __init__(self, log_dir: str) -> None:
        self._lines = GrowingLines(os.path.join(log_dir, NAME))
        self.has_ended = False
        """Whether the last that was read of the run as a whole is its end."""

    def read(self) -> list[LoggedEvent]:
        """The events that were written since the last call; half-written lines are left out."""
        events = [event for line in self._lines.read() if (event := _event(line)) is not None]
        for event in events:
            if event.text("event").startswith("run_"):
                self.has_ended = event.text("event") == EventKind.RUN_ENDED
        return events


def left_open(log_dir: str) -> list[LoggedEvent]:
    """The starts of nodes whose end was never told: their process was killed."""
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
    """The executions whose end was told."""
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
