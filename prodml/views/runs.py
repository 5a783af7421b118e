"""Read-only models of runs, nodes and artifacts, for people and for `--json`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prodml.artifacts import PropertyValue
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import ArtifactRecord, ExecutionRecord, Link, RunRecord


@dataclass(frozen=True)
class ArtifactView:
    """An artifact; `created` in Unix ms."""

    id: int
    type: str
    name: str
    uri: str
    state: str
    created: int
    producer: str
    run_id: str
    properties: Mapping[str, PropertyValue]


@dataclass(frozen=True)
class NodeView:
    """One execution of a node in a run; artifact ids by key; `peak_memory` in bytes."""

    node_id: str
    execution_id: int
    state: str
    reason: str
    message: str
    seconds: float
    peak_memory: int
    row_counts: list[dict[str, Any]]
    notes: list[str]
    log: str
    inputs: Mapping[str, list[int]]
    outputs: Mapping[str, list[int]]


@dataclass(frozen=True)
class RunView:
    """A run; `started` in Unix ms, `seconds` is 0 while the run is active."""

    run_id: str
    pipeline: str
    state: str
    started: int
    seconds: float
    parameters: Mapping[str, Any]
    message: str


@dataclass(frozen=True)
class RunDetail:
    """A run with its nodes, oldest first, and the artifacts that they produced or used."""

    run: RunView
    nodes: list[NodeView]
    artifacts: list[ArtifactView]


def list_runs(reader: LineageReader, limit: int, pipeline: str | None = None) -> list[RunView]:
    """Returns the newest runs, newest first."""
    return [_run_view(record) for record in reader.runs(limit, pipeline)]


def show_run(reader: LineageReader, run_id: str) -> RunDetail:
    """Returns a run with its nodes and artifacts.

    Raises:
        NotFoundError: the run does not exist.
    """
    record = reader.run(run_id)
    executions = reader.executions_of_run(record.run_id)
    links = reader.links_of_executions(e.id for e in executions)
    artifacts = reader.artifacts(link.artifact_id for link in links)
    return RunDetail(
        run=_run_view(record),
        nodes=[_node_view(e, [k for k in links if k.execution_id == e.id]) for e in executions],
        artifacts=artifact_views(artifacts),
    )


def list_artifacts(
    reader: LineageReader, limit: int, type_name: str | None = None
) -> list[ArtifactView]:
    """Returns the newest artifacts, newest first."""
    return artifact_views(reader.list_artifacts(limit, type_name))


def artifact_views(records: Iterable[ArtifactRecord]) -> list[ArtifactView]:
    """Converts artifact records into views."""
    return [
        ArtifactView(
            id=record.id,
            type=record.type_name,
            name=record.name,
            uri=record.uri,
            state=record.state,
            created=record.created,
            producer=str(record.custom_properties.get("producer_component", "")),
            run_id=record.name.split(":")[1] if record.name.count(":") >= 4 else "",
            properties={**record.properties, **record.custom_properties},
        )
        for record in records
    ]


def _run_view(record: RunRecord) -> RunView:
    return RunView(
        run_id=record.run_id,
        pipeline=record.pipeline,
        state=record.state,
        started=record.started,
        seconds=(record.ended - record.started) / 1000 if record.ended else 0.0,
        parameters=json.loads(record.parameters),
        message=record.message,
    )


def _node_view(execution: ExecutionRecord, links: list[Link]) -> NodeView:
    values = execution.properties
    ids: dict[bool, dict[str, list[int]]] = {True: {}, False: {}}
    for link in sorted(links, key=lambda link: (link.key, link.index)):
        ids[link.is_output].setdefault(link.key, []).append(link.artifact_id)
    return NodeView(
        node_id=execution.node_id,
        execution_id=execution.id,
        state=execution.state,
        reason=str(values.get("reason", "")),
        message=str(values.get("message", "")),
        seconds=float(values.get("seconds", 0.0)),
        peak_memory=int(values.get("peak_memory", 0)),
        row_counts=json.loads(str(values.get("row_counts", "[]"))),
        notes=json.loads(str(values.get("notes", "[]"))),
        log=str(values.get("log", "")),
        inputs=ids[False],
        outputs=ids[True],
    )
