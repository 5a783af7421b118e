"""The Beam graph of Transform: analyzes and transforms the rows, and computes statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow_data_validation as tfdv
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.beam import analyzer_cache
from tfx_bsl.tfxio.tensor_adapter import TensorAdapter

from prodml.artifacts import TransformCache
from prodml.components.transform.cache import copy_cached, plan_cache, write_cache
from prodml.components.transform.datasets import Dataset, Datasets
from prodml.components.transform.raw_features import RawFeatures
from prodml.components.transform.sources import (
    AnalyzedSources,
    ReadSplits,
    split_of,
    without_split,
)
from prodml.data.beam_sink import WriteRecordBatches
from prodml.data.statistics_sink import WriteStatistics


@dataclass(frozen=True)
class Analysis:
    """The configuration of the analysis.

    Attributes:
        preprocessing_fn: function of a dict of tensors.
        features: features of the schema.
        force_tf_compat_v1: whether to trace the function as TensorFlow 1 code.
        stored_cache: the cache of an earlier run, or None.
        cache_path: directory of the updated cache, or None to disable caching.
    """

    preprocessing_fn: Callable[..., Any]
    features: RawFeatures
    force_tf_compat_v1: bool
    stored_cache: TransformCache | None
    cache_path: str | None


@dataclass(frozen=True)
class Results:
    """Paths of the results; a result whose path is None is not written.

    Attributes:
        graph: directory of the transform graph.
        examples: directory of the transformed examples.
        row_counts: by split, the file for the number of written rows.
        pre_transform_stats: file for the statistics of the analyzed rows.
        post_transform_stats: file for the statistics of the transformed rows.
    """

    graph: str
    examples: str | None
    row_counts: Mapping[str, str]
    pre_transform_stats: str | None
    post_transform_stats: str | None

    @property
    def is_applied(self) -> bool:
        """Whether the transformed rows are needed."""
        return self.examples is not None or self.post_transform_stats is not None


def build(pipeline: Any, datasets: Datasets, analysis: Analysis, results: Results) -> int:
    """Adds all steps to a pipeline, in a `tft_beam.Context` that passes SPLIT_COLUMN through.

    Data is read once for the analysis and the statistics before the transformation, and once for
    the transformation. Reading it twice from disk avoids keeping it in memory in between.

    Returns:
        The number of analyzed datasets that came from the cache.
    """
    sources = AnalyzedSources(pipeline, analysis.features)
    transform_fn, cached = _analyze(pipeline, datasets.analyze, analysis, sources)
    transform_fn | "WriteGraph" >> tft_beam.WriteTransformFn(results.graph)
    if results.pre_transform_stats is not None:
        _write_statistics(
            "PreTransform",
            sources.read(datasets.analyze),
            analysis.features.schema,
            results.pre_transform_stats,
        )
    if results.is_applied:
        _apply(pipeline, datasets, analysis.features, transform_fn, results)
    return cached


def _analyze(
    pipeline: Any, datasets: tuple[Dataset, ...], analysis: Analysis, sources: AnalyzedSources
) -> tuple[Any, int]:
    config = analysis.features.config
    if analysis.cache_path is None:
        return (sources.read(datasets), config) | tft_beam.AnalyzeDataset(
            analysis.preprocessing_fn
        ), 0
    keys = {analyzer_cache.DatasetKey(dataset.key): dataset for dataset in datasets}
    plan = plan_cache(
        pipeline,
        analysis.stored_cache,
        list(keys),
        analysis.preprocessing_fn,
        TensorAdapter(config).OriginalTypeSpecs(),
        analysis.force_tf_compat_v1,
    )
    if analysis.stored_cache is not None:
        copy_cached(analysis.stored_cache, analysis.cache_path, plan.cache)
    batches_by_key = {
        key: sources.read((dataset,)) if key in plan.to_read else None
        for key, dataset in keys.items()
    }
    transform_fn, updated = (
        batches_by_key,
        plan.cache,
        config,
    ) | tft_beam.AnalyzeDatasetWithCache(analysis.preprocessing_fn, pipeline=pipeline)
    if updated:
        write_cache(updated, analysis.cache_path)
    return transform_fn, len(keys) - len(plan.to_read)


def _apply(
    pipeline: Any, datasets: Datasets, features: RawFeatures, transform_fn: Any, results: Results
) -> None:
    transformed, _ = (
        (pipeline | "ReadToTransform" >> ReadSplits(datasets, features), features.split_config),
        transform_fn,
    ) | tft_beam.TransformDataset(output_record_batches=True)
    by_split = transformed | "BySplit" >> beam.Partition(
        _split_number, len(datasets.splits), datasets.splits
    )
    for split, pairs in zip(datasets.splits, by_split, strict=True):
        batches = pairs | f"Batches[{split}]" >> beam.Map(_batch_alone)
        if results.examples is not None:
            rows = batches | f"Write[{split}]" >> WriteRecordBatches(
                results.examples, split, datasets.payload
            )
        else:
            rows = (
                batches
                | f"NumRows[{split}]" >> beam.Map(_num_rows)
                | f"Sum[{split}]" >> beam.CombineGlobally(sum)
            )
        rows | f"WriteRowCount[{split}]" >> beam.Map(_write_text, results.row_counts[split])
    if results.post_transform_stats is not None:
        _, metadata = transform_fn
        batches = transformed | "Batches" >> beam.Map(_batch_alone).with_output_types(
            pa.RecordBatch
        )
        schema = metadata.dataset_metadata.schema
        _write_statistics("PostTransform", batches, schema, results.post_transform_stats)


def _write_statistics(label: str, batches: Any, schema: Any, path: str) -> None:
    options = tfdv.StatsOptions(schema=schema, use_sketch_based_topk_uniques=True)
    statistics = batches | f"{label}Stats" >> tfdv.GenerateStatistics(options)
    statistics | f"Write{label}Stats" >> WriteStatistics(path)


_Transformed = tuple[pa.RecordBatch, Mapping[str, pa.Array]]


def _split_number(transformed: _Transformed, count: int, splits: Sequence[str]) -> int:
    return splits.index(split_of(transformed[0]))


def _batch_alone(transformed: _Transformed) -> pa.RecordBatch:
    return without_split(transformed[0])


def _num_rows(batch: pa.RecordBatch) -> int:
    return int(batch.num_rows)


def _write_text(rows: int, path: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(str(rows))
