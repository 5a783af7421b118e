"""Reports of nodes as JSON: passed from one node to the next, and back to the run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from prodml.artifacts import Artifact, artifact_from_document, artifact_to_document
from prodml.dsl.executor import RowCount
from prodml.orchestration.events.event import Event, EventKind
from prodml.orchestration.results import NodeResult, NodeState
from prodml.storage import objects
from prodml.storage.locations import is_url


@dataclass(frozen=True)
class NodeReport:
    """The result of a node, with its events.

    Attributes:
        events: events that the run has not announced yet, oldest first.
    """

    result: NodeResult
    events: tuple[Event, ...] = ()

    def to_json(self) -> str:
        """The report as JSON text."""
        return json.dumps(
            {"result": asdict(self.result), "events": [_event_document(e) for e in self.events]}
        )

    @classmethod
    def from_json(cls, text: str) -> NodeReport:
        """Parses a report that `to_json` wrote."""
        document = json.loads(text)
        return cls(_result(document["result"]), tuple(map(_event, document["events"])))


class EventBuffer:
    """An event sink that stores events in a list."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        pass


def write_reports(place: str, reports: Sequence[str]) -> None:
    """Writes the reports of all nodes to a file, or to an object by its URL."""
    text = json.dumps(reports)
    if is_url(place):
        objects.write(place, text.encode())
    else:
        with open(place, "w", encoding="utf-8") as file:
            file.write(text)


def take_reports(place: str) -> list[NodeReport]:
    """Reads the reports that `write_reports` wrote, and removes the file or object."""
    if is_url(place):
        text = objects.read(place).decode()
        objects.remove(place)
    else:
        with open(place, encoding="utf-8") as file:
            text = file.read()
        os.remove(place)
    return [NodeReport.from_json(report) for report in json.loads(text)]


def _result(document: dict[str, Any]) -> NodeResult:
    return NodeResult(
        **{
            **document,
            "state": NodeState(document["state"]),
            "outputs": {key: tuple(ids) for key, ids in document["outputs"].items()},
            "notes": tuple(document["notes"]),
            "row_counts": tuple(RowCount(**count) for count in document["row_counts"]),
            "blocked_by": tuple(document["blocked_by"]),
        }
    )


def _event_document(event: Event) -> dict[str, Any]:
    documents = {
        name: {key: [artifact_to_document(a) for a in found] for key, found in artifacts.items()}
        for name, artifacts in (("inputs", event.inputs), ("outputs", event.outputs))
    }
    counts = [asdict(count) for count in event.row_counts]
    return {**vars(event), **documents, "row_counts": counts}


def _event(document: dict[str, Any]) -> Event:
    return Event(
        **{
            **document,
            "kind": EventKind(document["kind"]),
            "inputs": _artifacts(document["inputs"]),
            "outputs": _artifacts(document["outputs"]),
            "row_counts": tuple(RowCount(**count) for count in document["row_counts"]),
        }
    )


def _artifacts(documents: Mapping[str, Sequence[Any]]) -> dict[str, list[Artifact]]:
    return {key: [artifact_from_document(d) for d in found] for key, found in documents.items()}
