"""The cache: finds earlier executions with the same fingerprint and undamaged outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prodml.artifacts import Artifact
from prodml.compiler.spec import NodeSpec
from prodml.metadata.reading import LineageReader
from prodml.orchestration.publish import manifest
from prodml.orchestration.resolve.fingerprint import Fingerprint, explain_difference
from prodml.orchestration.resolve.inputs import to_artifact

FINGERPRINT_PARTS = "fingerprint_parts"
"""Execution property that stores the parts of a fingerprint, so that a miss can be explained."""


@dataclass(frozen=True)
class Hit:
    """An earlier execution whose outputs can be used; `notes` are its messages for the user."""

    execution_id: int
    outputs: Mapping[str, Sequence[Artifact]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Miss:
    """The node must run; `reason` says why."""

    reason: str


def look_up(
    reader: LineageReader, pipeline: str, node: NodeSpec, wanted: Fingerprint
) -> Hit | Miss:
    """Finds the newest execution with this fingerprint whose outputs are undamaged."""
    answer = _newest_undamaged(reader, node, wanted.key)
    if isinstance(answer, Hit):
        return answer
    return answer or Miss(_reason(reader, pipeline, node, wanted))


def look_up_without_resolved(
    reader: LineageReader, node: NodeSpec, wanted: Fingerprint
) -> Hit | None:
    """Like `look_up`, but ignores inputs that a Resolver found, now and at the time."""
    key = wanted.key_without_resolved
    answer = _newest_undamaged(reader, node, key) if key else None
    return answer if isinstance(answer, Hit) else None


def _newest_undamaged(reader: LineageReader, node: NodeSpec, key: str) -> Hit | Miss | None:
    """None if no execution has the key; a Miss if the outputs of all of them are damaged."""
    broken = None
    for execution in reader.cached_executions(key):
        outputs = outputs_of(reader, execution.id)
        damage = damage_of(node, outputs)
        if damage is None:
            notes = json.loads(str(execution.properties.get("notes", "[]")))
            return Hit(execution.id, outputs, tuple(notes))
        broken = broken or Miss(_why_deleted(reader, execution.id) or damage)
    return broken


def _why_deleted(reader: LineageReader, execution_id: int) -> str | None:
    """Why an output of an execution was recorded as deleted; None if none was."""
    links = [link for link in reader.links_of_executions([execution_id]) if link.is_output]
    keys = {link.artifact_id: link.key for link in links}
    for record in sorted(reader.artifacts(keys), key=lambda record: record.id):
        why = record.custom_properties.get("deleted_because")
        if record.state == "DELETED" and why:
            return f"its output {keys[record.id]!r} was deleted: {why}"
    return None


def outputs_of(reader: LineageReader, execution_id: int) -> dict[str, list[Artifact]]:
    """The live outputs of an execution by output key."""
    links = [link for link in reader.links_of_executions([execution_id]) if link.is_output]
    by_id = {record.id: record for record in reader.artifacts(link.artifact_id for link in links)}
    outputs: dict[str, list[Artifact]] = {}
    for link in sorted(links, key=lambda link: (link.key, link.index)):
        record = by_id[link.artifact_id]
        if record.state == "LIVE":
            outputs.setdefault(link.key, []).append(to_artifact(record))
    return outputs


def damage_of(node: NodeSpec, outputs: Mapping[str, Sequence[Artifact]]) -> str | None:
    """Describes the first output that is missing or changed; None if all are undamaged."""
    for declared in node.outputs:
        if not outputs.get(declared.name):
            return f"its output {declared.name!r} is no longer live"
        for artifact in outputs[declared.name]:
            changed = manifest.difference(artifact.uri)
            if changed:
                return f"output {declared.name!r}: {changed}"
    return None


def _reason(reader: LineageReader, pipeline: str, node: NodeSpec, wanted: Fingerprint) -> str:
    last = reader.last_completed(pipeline, node.id)
    if last is None:
        return "first run"
    before = json.loads(str(last.properties.get(FINGERPRINT_PARTS, "{}")))
    return explain_difference(before, wanted.parts)
