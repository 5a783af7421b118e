"""Executor of StatisticsGen."""

from __future__ import annotations

import os
from typing import Any

import tensorflow_data_validation as tfdv

from prodml.artifacts import Examples, ExampleStatistics, Schema
from prodml.components.statistics_gen.component import StatsOptions
from prodml.components.statistics_gen.transforms import WriteSplitStatistics
from prodml.data.examples_layout import payload_format, row_count, split_files
from prodml.data.schemas import read_schema
from prodml.data.split_selection import selected_splits
from prodml.data.tfrecords import RecordFile
from prodml.dsl.executor import ExecutorContext
from prodml.errors import InputDataError


def execute(context: ExecutorContext) -> None:
    examples = context.input("examples", Examples)
    statistics = context.output("statistics", ExampleStatistics)
    options = context.parameters["stats_options"] or StatsOptions()
    splits = selected_splits(examples, context.parameters["exclude_splits"])
    for split in splits:
        _refuse_empty(examples, split)
    statistics.split_names = splits
    statistics.properties["span"] = int(examples.properties.get("span", 0))
    if options.sample_rate is not None:
        statistics.custom_properties["sample_rate"] = options.sample_rate

    schema = context.optional_input("schema", Schema)
    known = read_schema(schema.schema_path) if schema else None
    with context.beam.pipeline() as pipeline:
        for split in splits:
            pipeline | f"Statistics[{split}]" >> WriteSplitStatistics(
                files=split_files(examples, split),
                payload=payload_format(examples),
                schema=known,
                options=options,
                path=statistics.stats_path(split),
            )
    for split in splits:
        path = statistics.stats_path(split)
        found = tfdv.load_stats_binary(path)
        rows, sampled = row_count(examples, split), found.datasets[0].num_examples
        if not sampled:
            raise InputDataError(
                f"the statistics of split {split!r} would be empty: a sample_rate of "
                f"{options.sample_rate} leaves none of its {rows:,} rows; increase sample_rate"
            )
        _write_record(found, path)
        _reconcile(context, split, rows, sampled)


def _refuse_empty(examples: Examples, split: str) -> None:
    if not row_count(examples, split):
        raise InputDataError(
            f"the statistics of split {split!r} would be empty: it has no rows in the examples at "
            f"{examples.uri}; ingest more data, change how it is split, or skip the split with "
            f"exclude_splits=[{split!r}]"
        )


def _write_record(statistics: Any, path: str) -> None:
    # `tfdv.load_statistics` and `tfdv.load_sharded_statistics` read TFRecord files and not the
    # binary file that TFX's tools read; TFX writes both, with these names, when it writes shards.
    record = f"{os.path.splitext(path)[0]}-00000-of-00001.tfrecords"
    with RecordFile(record) as file:
        file.write([statistics.SerializeToString(deterministic=True)])


def _reconcile(context: ExecutorContext, split: str, rows: int, sampled: int) -> None:
    options = context.parameters["stats_options"]
    is_sampled = options is not None and options.sample_rate is not None
    dropped = {"not sampled": rows - sampled} if is_sampled else {}
    context.reconcile(split, rows, sampled, dropped)
