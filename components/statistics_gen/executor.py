"""Executor of StatisticsGen."""

from __future__ import annotations

import tensorflow_data_validation as tfdv

from prodml.artifacts import Examples, ExampleStatistics, Schema
from prodml.components.statistics_gen.component import StatsOptions
from prodml.components.statistics_gen.transforms import WriteSplitStatistics
from prodml.data.payload import payload_format, row_count, split_files
from prodml.data.split_selection import selected_splits
from prodml.dsl.executor import ExecutorContext


def execute(context: ExecutorContext) -> None:
    examples = context.input("examples", Examples)
    statistics = context.output("statistics", ExampleStatistics)
    options = context.parameters["stats_options"] or StatsOptions()
    splits = selected_splits(examples, context.parameters["exclude_splits"])
    statistics.split_names = splits
    statistics.properties["span"] = int(examples.properties.get("span", 0))

    schema = context.optional_input("schema", Schema)
    known = tfdv.load_schema_text(schema.schema_path) if schema else None
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
        _reconcile(context, split, row_count(examples, split), statistics.stats_path(split))


def _reconcile(context: ExecutorContext, split: str, rows: int, path: str) -> None:
    looked_at = tfdv.load_stats_binary(path).datasets[0].num_examples
    options = context.parameters["stats_options"]
    is_sampled = options is not None and options.sample_rate is not None
    context.reconcile(
        split, rows, looked_at, {"not sampled": rows - looked_at} if is_sampled else {}
    )
