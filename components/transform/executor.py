"""Executor of Transform."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import tensorflow_data_validation as tfdv
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam

from prodml.artifacts import (
    ExampleAnomalies,
    Examples,
    Schema,
    TransformCache,
    TransformGraph,
)
from prodml.components.transform.cache import keep_sketches_as_bytes
from prodml.components.transform.datasets import Datasets, plan_datasets
from prodml.components.transform.deep_copies import allow_deep_copies
from prodml.components.transform.preprocessing import (
    Inputs,
    load_preprocessing_fn,
    user_errors,
)
from prodml.components.transform.raw_features import SPLIT_COLUMN, RawFeatures
from prodml.components.transform.transforms import Analysis, Results, build
from prodml.data.examples_layout import describe_examples, empty_columns
from prodml.data.schemas import read_schema
from prodml.dsl.executor import ExecutorContext
from prodml.dsl.references import file_of_function
from prodml.errors import InputDataError

_STATISTICS = "FeatureStats.pb"
_ANOMALIES = "SchemaDiff.pb"


def execute(context: ExecutorContext) -> None:
    parameters = context.parameters
    import_path = parameters["preprocessing_fn"]
    module_file = parameters["module_file"] or file_of_function(import_path).path
    examples = [a for a in context.inputs["examples"] if isinstance(a, Examples)]
    schema_path = context.input("schema", Schema).schema_path
    datasets = plan_datasets(examples, parameters["splits_config"])
    _refuse_empty_statistics(context, datasets)
    analysis = Analysis(
        preprocessing_fn=load_preprocessing_fn(
            module_file, import_path, parameters["custom_config"]
        ),
        features=RawFeatures(read_schema(schema_path)),
        force_tf_compat_v1=parameters["force_tf_compat_v1"],
        stored_cache=_stored_cache(context),
        cache_path=_cache_path(context),
    )
    results = _results(context, datasets)
    allow_deep_copies()
    keep_sketches_as_bytes()
    with (
        user_errors(module_file, _inputs(examples, analysis)),
        context.beam.pipeline() as pipeline,
        tft_beam.Context(
            temp_dir=os.path.join(context.tmp_dir, "tft"),
            passthrough_keys={SPLIT_COLUMN},
            use_deep_copy_optimization=True,
            force_tf_compat_v1=parameters["force_tf_compat_v1"],
        ),
    ):
        cached = build(pipeline, datasets, analysis, results)
    if cached:
        context.note(f"analyzer cache: {cached} of {len(datasets.analyze)} datasets were cached")
    _describe_features(context, schema_path, results)
    _reconcile(context, examples, datasets, results)


def _inputs(examples: Sequence[Examples], analysis: Analysis) -> Inputs:
    return Inputs(
        features=[feature.name for feature in analysis.features.schema.feature],
        empty_columns=[name for artifact in examples for name in empty_columns(artifact)],
    )


def _stored_cache(context: ExecutorContext) -> TransformCache | None:
    if context.parameters["disable_analyzer_cache"]:
        return None
    return context.optional_input("analyzer_cache", TransformCache)


def _cache_path(context: ExecutorContext) -> str | None:
    updated = context.outputs.get("updated_analyzer_cache")
    return None if updated is None else updated.uri


def _refuse_empty_statistics(context: ExecutorContext, datasets: Datasets) -> None:
    if "post_transform_stats" not in context.outputs:
        return
    if not any(dataset.rows for dataset in datasets.transform):
        raise InputDataError(
            f"no row to transform in the split(s) {', '.join(datasets.splits) or 'none'}, so "
            f"post_transform_stats would be empty; set other splits in splits_config.transform, "
            f'or set disable_statistics="post_transform"'
        )


def _results(context: ExecutorContext, datasets: Datasets) -> Results:
    examples = context.outputs.get("transformed_examples")
    return Results(
        graph=context.output("transform_graph", TransformGraph).uri,
        examples=None if examples is None else examples.uri,
        row_counts={
            split: os.path.join(context.tmp_dir, f"rows-{split}") for split in datasets.splits
        },
        pre_transform_stats=_statistics_path(context, "pre_transform_stats"),
        post_transform_stats=_statistics_path(context, "post_transform_stats"),
    )


def _statistics_path(context: ExecutorContext, key: str) -> str | None:
    # Not in Split-<name>: as in TFX, these statistics describe all splits together.
    artifact = context.outputs.get(key)
    return None if artifact is None else os.path.join(artifact.uri, _STATISTICS)


def _describe_features(context: ExecutorContext, schema_path: str, results: Results) -> None:
    before = context.output("pre_transform_schema", Schema)
    shutil.copyfile(schema_path, before.schema_path)
    raw_metadata = os.path.join(results.graph, tft.TFTransformOutput.RAW_METADATA_DIR)
    os.makedirs(raw_metadata)
    shutil.copy(schema_path, raw_metadata)
    after = tft.TFTransformOutput(results.graph).transformed_metadata.schema
    tfdv.write_schema_text(after, context.output("post_transform_schema", Schema).schema_path)
    if results.post_transform_stats is None:
        return
    statistics = tfdv.load_stats_binary(results.post_transform_stats)
    anomalies = tfdv.validate_statistics(statistics, after)
    output = context.output("post_transform_anomalies", ExampleAnomalies)
    content = anomalies.SerializeToString(deterministic=True)
    Path(output.uri, _ANOMALIES).write_bytes(content)
    for name, info in sorted(anomalies.anomaly_info.items()):
        context.note(f"after the transformation: {name}: {info.description.strip()}")


def _reconcile(
    context: ExecutorContext, examples: Sequence[Examples], datasets: Datasets, results: Results
) -> None:
    if not results.is_applied:
        for split in {dataset.split for dataset in datasets.analyze}:
            rows = sum(dataset.rows for dataset in datasets.analyze if dataset.split == split)
            context.reconcile(split, rows, rows)
        return
    written = {
        split: int(Path(path).read_text(encoding="utf-8"))
        for split, path in results.row_counts.items()
    }
    for split in datasets.splits:
        read = sum(dataset.rows for dataset in datasets.transform if dataset.split == split)
        context.reconcile(split, read, written[split])
    if results.examples is None:
        return
    output = context.output("transformed_examples", Examples)
    output.properties["span"] = max(int(a.properties.get("span", 0)) for a in examples)
    output.properties["version"] = max(int(a.properties.get("version", 0)) for a in examples)
    describe_examples(output, datasets.payload, written)
