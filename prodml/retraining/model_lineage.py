"""The newest model of a pipeline, and the artifacts that led to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prodml.metadata.reading import LineageReader
from prodml.metadata.records import ArtifactRecord, ExecutionRecord, State


@dataclass(frozen=True)
class ModelLineage:
    """A model, and every artifact upstream of it."""

    model: ArtifactRecord
    upstream: tuple[ArtifactRecord, ...]

    def used(self, type_name: str, producer: str) -> ArtifactRecord | None:
        """The newest artifact of a type that a node produced for the model, or None."""
        found = [
            r
            for r in self.upstream
            if r.type_name == type_name and r.was_produced_by(producer, None)
        ]
        return max(found, key=lambda record: record.id, default=None)


def newest_model(reader: LineageReader, pipeline: str) -> ModelLineage | None:
    """The newest live model of a pipeline with its lineage; None if there is none."""
    model = next(reader.newest_artifacts(pipeline, "Model"), None)
    if model is None:
        return None
    frontier, seen = {model.id}, {model.id}
    while frontier:
        producers = {
            link.execution_id for link in reader.links_of_artifacts(frontier) if link.is_output
        }
        # A cached execution has the outputs of another one, which is among the producers, too.
        ran = [e.id for e in _executions(reader, producers) if e.state is not State.CACHED]
        inputs = {k.artifact_id for k in reader.links_of_executions(ran) if not k.is_output}
        frontier = inputs - seen
        seen |= frontier
    return ModelLineage(model, tuple(reader.artifacts(seen - {model.id})))


def products_of(
    reader: LineageReader, artifact: ArtifactRecord, type_name: str, output_key: str
) -> list[ArtifactRecord]:
    """The live artifacts of a type that were computed directly from an artifact, newest first."""
    consumers = {
        k.execution_id for k in reader.links_of_artifacts([artifact.id]) if not k.is_output
    }
    outputs = {k.artifact_id for k in reader.links_of_executions(consumers) if k.is_output}
    found = [
        record
        for record in reader.artifacts(outputs)
        if record.type_name == type_name
        and record.state == "LIVE"
        and record.was_produced_by(None, output_key)
    ]
    return sorted(found, key=lambda record: record.id, reverse=True)


def _executions(reader: LineageReader, ids: Iterable[int]) -> list[ExecutionRecord]:
    wanted = list(ids)
    return reader.executions(wanted) if wanted else []
