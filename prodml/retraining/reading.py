"""Reads the facts that declared triggers need, from ML Metadata and from what a run would read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from prodml.artifacts import Artifact, ExampleStatistics, artifact_type
from prodml.compiler.spec import NodeKind, NodeSpec, PipelineSpec
from prodml.data.schemas import schema_text
from prodml.dsl.parameters import Watched
from prodml.errors import ConfigError, NotFoundError
from prodml.keras_choice import KerasName
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import ArtifactRecord
from prodml.orchestration.code.user_types import load_user_types
from prodml.orchestration.resolve.inputs import imported_artifact
from prodml.retraining.clocks import require_past
from prodml.retraining.facts import Facts, Measured, ModelFact, SchemaFact, SourceFact
from prodml.retraining.model_lineage import ModelLineage, newest_model, products_of
from prodml.retraining.sources import read_outside, schema_nodes, source_facts
from prodml.retraining.triggers import Triggers
from prodml.storage import objects
from prodml.storage.locations import is_url, join
from prodml.suggestions import suggest

METRICS = "metrics"
"""Custom property of a ModelEvaluation: metrics of the candidate over all rows, as JSON."""


def read_facts(
    spec: PipelineSpec, reader: LineageReader, triggers: Triggers, keras: KerasName, now: int
) -> Facts:
    """Reads the facts that the triggers need; imports TFDV only if drift is declared.

    Args:
        spec: the pipeline.
        reader: reads the metadata store.
        triggers: the declared triggers.
        keras: what `tf.keras` means for nodes that do not choose it themselves.
        now: the current time in Unix ms.

    Raises:
        ConfigError: a trigger names something that the pipeline does not have.
        NotFoundError: `monitored_by` names a pipeline that has never run.
        ClockError: the newest model is from the future.
        NodeError: the data cannot be found.
    """
    load_user_types(spec)
    outside = read_outside(spec, keras)
    lineage = newest_model(reader, spec.name)
    sources = source_facts(outside, lineage, with_rows=triggers.rows_since is not None)
    _check_declared(spec, triggers, sources)
    watched = triggers.monitored_by or spec.name
    known = reader.pipelines()
    if triggers.monitored_by and watched not in known:
        raise NotFoundError(
            f"monitored_by: no pipeline {watched!r} has run in this store{suggest(watched, known)}"
        )
    return Facts(
        now=now,
        state=outside.state,
        model=_model(spec.name, lineage, now),
        sources=sources,
        schemas=_schemas(spec, reader, lineage) if triggers.schema_changed else (),
        drift=_drift(reader, watched, lineage, triggers.drift) if triggers.drift else Measured(),
        metrics=_metrics(reader, watched, triggers.performance_below),
    )


def _check_declared(
    spec: PipelineSpec, triggers: Triggers, sources: tuple[SourceFact, ...]
) -> None:
    """Checks that the pipeline has the nodes that the triggers are about."""
    produced = {output.type for node in spec.nodes for output in node.outputs}
    monitored = triggers.monitored_by is not None
    needs = [
        ("new_span", triggers.new_span, bool(sources), "node that reads spans of data"),
        ("rows_since", triggers.rows_since, bool(sources), "node that reads spans of data"),
        ("older_than_days", triggers.older_than_days, "Model" in produced, "Model"),
        ("schema_changed", triggers.schema_changed, bool(schema_nodes(spec)), "node of a Schema"),
        (
            "drift",
            triggers.drift,
            monitored or "ExampleStatistics" in produced,
            "ExampleStatistics",
        ),
        (
            "performance_below",
            triggers.performance_below,
            monitored or "ModelEvaluation" in produced,
            "ModelEvaluation",
        ),
    ]
    for name, is_declared, is_possible, what in needs:
        if is_declared and not is_possible:
            raise ConfigError(
                f"retrain.{name}: pipeline {spec.name} has no {what}; remove the trigger, or add "
                f"the component"
            )


def _model(pipeline: str, lineage: ModelLineage | None, now: int) -> ModelFact | None:
    if lineage is None:
        return None
    model = lineage.model
    what = f"model {model.id} of pipeline {pipeline}"
    require_past(model.created, now, what, "prodml run --no-cache")
    return ModelFact(model.id, model.created)


def _schemas(
    spec: PipelineSpec, reader: LineageReader, lineage: ModelLineage | None
) -> tuple[SchemaFact, ...]:
    return tuple(
        SchemaFact(
            node.id,
            _digest_of(lineage.used("Schema", node.id)) if lineage else "",
            _current_schema(spec, reader, node),
        )
        for node in schema_nodes(spec)
    )


def _current_schema(spec: PipelineSpec, reader: LineageReader, node: NodeSpec) -> str:
    """A digest of the schema that a run would use, as far as it is known before the run."""
    if node.kind is NodeKind.IMPORTER:
        return _digest(schema_text(os.path.join(imported_artifact(node).uri, "schema.pbtxt")))
    files = [path for parameter in node.parameters for _, path in parameter.texts(Watched.FILE)]
    if files:
        return _digest(schema_text(files[0]))
    # An inferred schema is known when a run has inferred it.
    return _digest_of(next(reader.newest_artifacts(spec.name, "Schema", node.id), None))


def _digest_of(record: ArtifactRecord | None) -> str:
    if record is None or record.state != "LIVE":
        return ""
    path = join(record.uri, "schema.pbtxt")
    text = objects.read(path).decode("utf-8") if is_url(path) else schema_text(path)
    return _digest(text)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.replace("\r\n", "\n").encode(), digest_size=16).hexdigest()


def _drift(
    reader: LineageReader, watched: str, lineage: ModelLineage | None, limits: Mapping[str, float]
) -> Measured:
    if lineage is None:
        return Measured(absence="there is no model yet")
    newest = next(reader.newest_artifacts(watched, "ExampleStatistics", None, "statistics"), None)
    examples = [r for r in lineage.upstream if r.type_name == "Examples"]
    of_model = [
        found
        for artifact in sorted(examples, key=lambda record: record.id, reverse=True)
        for found in products_of(reader, artifact, "ExampleStatistics", "statistics")
    ]
    # A pipeline can have statistics of raw and of transformed examples.
    node = newest.custom_properties.get("producer_component") if newest else None
    trained = [r for r in of_model if r.was_produced_by(str(node), None)] or of_model
    if newest is None or not trained:
        which = "data of the newest model" if newest else f"runs of {watched}"
        return Measured(absence=f"there are no statistics of the {which}")
    for record in (newest, trained[0]):
        names = _feature_names(record)
        for feature in limits:
            if feature not in names:
                raise ConfigError(
                    f"retrain.drift: statistics {record.id} have no feature {feature!r}"
                    f"{suggest(feature, names)}"
                )
    if newest.id == trained[0].id:
        what = f"the newest statistics, {newest.id}, are those of the newest model's data"
        return Measured(dict.fromkeys(limits, 0.0), what)
    from prodml.retraining.divergence import divergences

    values = divergences(_statistics(newest), _statistics(trained[0]), limits)
    return Measured(values, f"statistics {newest.id}, compared with {trained[0].id}")


def _feature_names(record: ArtifactRecord) -> set[str]:
    """The features of recorded statistics; read without importing TFDV."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    names = set()
    for split in _statistics(record).split_names:
        path = join(record.uri, f"Split-{split}", "FeatureStats.pb")
        content = objects.read(path) if is_url(path) else Path(path).read_bytes()
        for dataset in statistics_pb2.DatasetFeatureStatisticsList.FromString(content).datasets:
            names |= {".".join(feature.path.step) or feature.name for feature in dataset.features}
    return names


def _statistics(record: ArtifactRecord) -> ExampleStatistics:
    found: Artifact = artifact_type(record.type_name)(
        uri=record.uri, id=record.id, properties=dict(record.properties)
    )
    assert isinstance(found, ExampleStatistics)
    return found


def _metrics(reader: LineageReader, watched: str, limits: Mapping[str, float]) -> Measured:
    newest = next(reader.newest_artifacts(watched, "ModelEvaluation"), None) if limits else None
    if newest is None:
        return Measured(absence=f"pipeline {watched} has no evaluation yet")
    text = newest.custom_properties.get(METRICS)
    if text is None:
        raise ConfigError(
            f"retrain.performance_below: evaluation {newest.id} of pipeline {watched} has no "
            f"recorded metrics, because another version recorded it; run the pipeline again"
        )
    values: dict[str, float] = json.loads(str(text))
    for metric in limits:
        if metric not in values:
            raise ConfigError(
                f"retrain.performance_below: evaluation {newest.id} of pipeline {watched} has no "
                f"metric {metric!r} over all rows{suggest(metric, values)}"
            )
    return Measured(values, f"evaluation {newest.id}")
