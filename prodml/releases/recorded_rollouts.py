"""Reads pushed versions from ML Metadata, and records the moves of their labels there."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from prodml.metadata.reading import LineageReader
from prodml.metadata.release_reading import ReleaseReader
from prodml.metadata.release_writing import ReleaseWriter
from prodml.metadata.store import Store
from prodml.serving.rollouts.rollout_journal import JournalEntry

_VERDICTS = ("model_blessing", "infra_blessing")


@dataclass(frozen=True)
class PushedVersion:
    """A pushed version, as ML Metadata records it.

    Attributes:
        artifact_id: id of its PushedModel artifact.
        pipeline: name of the pipeline that pushed it; empty if unknown.
        is_blessed: whether all blessings that the Pusher got are positive; None without blessings.
    """

    artifact_id: int
    pipeline: str
    is_blessed: bool | None


def pushed_versions(store: Store, versions: Mapping[int, str]) -> dict[int, PushedVersion]:
    """Returns the versions that the store has recorded as pushed.

    Args:
        store: an open store.
        versions: directory by version.

    Raises:
        MetadataError: the store is unreachable.
    """
    reader = LineageReader(store)
    number_of = {path: number for number, path in versions.items()}
    found: dict[int, PushedVersion] = {}
    for artifact in ReleaseReader(store).pushed_models(number_of):
        number = number_of[str(artifact.custom_properties["pushed_destination"])]
        if number not in found:
            found[number] = _pushed(reader, artifact.id)
    return found


def record_rollouts(
    store: Store,
    entries: Sequence[JournalEntry],
    pushed: Mapping[int, PushedVersion],
) -> int:
    """Records the journal's moves that the store lacks, and returns their number.

    Raises:
        MetadataError: the store is unreachable.
    """
    recorded = ReleaseReader(store).rollouts(entry.id for entry in entries)
    writer = ReleaseWriter(store)
    missing = [entry for entry in entries if entry.id not in recorded]
    for entry in missing:
        version = pushed.get(entry.version)
        writer.record_rollout(
            entry.id,
            {
                "action": entry.action,
                "model": entry.model,
                "base_path": entry.base_path,
                "version": str(entry.version),
                "labels_before": json.dumps(entry.before.labels),
                "labels_after": json.dumps(entry.after.labels),
                "who": entry.who,
                "when": entry.time,
                "message": entry.message,
            },
            version.artifact_id if version else None,
            version.pipeline or None if version else None,
        )
    return len(missing)


def _pushed(reader: LineageReader, artifact_id: int) -> PushedVersion:
    producers = [
        link.execution_id for link in reader.links_of_artifacts([artifact_id]) if link.is_output
    ]
    if not producers:
        return PushedVersion(artifact_id, "", None)
    (pusher,) = reader.executions(producers[:1])
    return PushedVersion(
        artifact_id,
        str(pusher.properties.get("pipeline_name", "")),
        _verdict(reader, producers[:1]),
    )


def _verdict(reader: LineageReader, pusher: Collection[int]) -> bool | None:
    links = reader.links_of_executions(pusher)
    ids = [link.artifact_id for link in links if link.key in _VERDICTS and not link.is_output]
    verdicts = [each.custom_properties.get("blessed") == 1 for each in reader.artifacts(ids)]
    return all(verdicts) if verdicts else None
