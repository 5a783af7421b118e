"""Statistics artifacts of a few rows, for tests of the components that read statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl

from prodml.artifacts import ExampleStatistics, Schema

Columns = Mapping[str, Sequence[Any]]
"""Values by feature; None is a missing value."""


def record_batch(columns: Columns) -> pa.RecordBatch:
    """Rows in the shape of tf.Example: every value is a list."""
    return pa.RecordBatch.from_arrays(
        [_lists(values) for values in columns.values()], names=list(columns)
    )


def statistics_of(columns: Columns) -> Any:
    return stats_impl.generate_statistics_in_memory(record_batch(columns))


def write_statistics(directory: Path, splits: Mapping[str, Columns]) -> ExampleStatistics:
    statistics = ExampleStatistics(uri=str(directory))
    statistics.split_names = list(splits)
    statistics.properties["span"] = 4
    for split, columns in splits.items():
        path = Path(statistics.stats_path(split))
        path.parent.mkdir(parents=True)
        path.write_bytes(statistics_of(columns).SerializeToString())
    return statistics


def write_schema(directory: Path, schema: Any) -> Schema:
    directory.mkdir(parents=True, exist_ok=True)
    artifact = Schema(uri=str(directory))
    tfdv.write_schema_text(schema, artifact.schema_path)
    return artifact


def _lists(values: Sequence[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    item = pa.float32()
    if kinds == {int}:
        item = pa.int64()
    if kinds == {str}:
        item = pa.large_binary()
    lists = [
        None if value is None else [value.encode() if isinstance(value, str) else value]
        for value in values
    ]
    return pa.array(lists, pa.large_list(item))
