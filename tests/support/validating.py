"""Runs ExampleValidator on statistics of a few rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow_data_validation as tfdv
from support.running import execute
from support.statistics_on_disk import Columns, statistics_of, write_schema, write_statistics
from tensorflow_metadata.proto.v0 import anomalies_pb2

from prodml.artifacts import ExampleAnomalies, ExampleStatistics, Schema
from prodml.components.example_validator.component import ExampleValidator
from prodml.dsl.channel import Channel
from prodml.dsl.executor import ExecutorContext

GOOD = {"carrier": ["AA", "UA", "UA", "UA"], "distance": [733, 1400, 733, 200]}


def schema_of(columns: Columns) -> Any:
    return tfdv.infer_schema(statistics_of(columns))


def validate(
    tmp_path: Path,
    splits: dict[str, Columns],
    schema: Any,
    previous: dict[str, Columns] | Sequence[ExampleStatistics] | None = None,
    serving: dict[str, Columns] | None = None,
    **parameters: Any,
) -> ExecutorContext:
    inputs: dict[str, Any] = {
        "statistics": write_statistics(tmp_path / "statistics", splits),
        "schema": write_schema(tmp_path / "schema", schema),
    }
    if isinstance(previous, dict):
        inputs["previous_statistics"] = write_statistics(tmp_path / "previous", previous)
    elif previous is not None:
        inputs["previous_statistics"] = previous
    if serving is not None:
        inputs["serving_statistics"] = write_statistics(tmp_path / "serving", serving)
    channels: dict[str, Any] = {
        key: Channel(type=Schema if key == "schema" else ExampleStatistics) for key in inputs
    }
    return execute(ExampleValidator(**channels, **parameters), inputs, tmp_path)


def anomalies_of(context: ExecutorContext, split: str) -> Any:
    path = context.output("anomalies", ExampleAnomalies).anomalies_path(split)
    return anomalies_pb2.Anomalies.FromString(Path(path).read_bytes())
