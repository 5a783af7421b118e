"""Executor of SchemaGen."""

from __future__ import annotations

import tensorflow_data_validation as tfdv

from prodml.artifacts import ExampleStatistics, Schema
from prodml.data.split_selection import selected_splits
from prodml.dsl.executor import ExecutorContext


def execute(context: ExecutorContext) -> None:
    statistics = context.input("statistics", ExampleStatistics)
    has_fixed_shapes = context.parameters["infer_feature_shape"]
    splits = selected_splits(statistics, context.parameters["exclude_splits"])
    schema = None
    for split in splits:
        found = tfdv.load_stats_binary(statistics.stats_path(split))
        schema = (
            tfdv.infer_schema(found, has_fixed_shapes)
            if schema is None
            else tfdv.update_schema(schema, found)
        )
        rows = found.datasets[0].num_examples
        context.reconcile(split, rows, rows)
    tfdv.write_schema_text(schema, context.output("schema", Schema).schema_path)
