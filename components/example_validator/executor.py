"""Executor of ExampleValidator."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

import tensorflow_data_validation as tfdv

from prodml.artifacts import ExampleAnomalies, ExampleStatistics, Schema
from prodml.components.example_validator.comparisons import (
    Measurement,
    check_pairs,
    load_split,
    not_checked,
    other_split,
    read_measurements,
)
from prodml.components.example_validator.validation import (
    Anomaly,
    read_anomalies,
    severity_from,
    validate_split,
)
from prodml.data.split_selection import selected_splits
from prodml.dsl.executor import ExecutorContext
from prodml.errors import ValidationError

_SHOWN_NOTES = 20


def execute(context: ExecutorContext) -> None:
    statistics = context.input("statistics", ExampleStatistics)
    output = context.output("anomalies", ExampleAnomalies)
    schema = tfdv.load_schema_text(context.input("schema", Schema).schema_path)
    previous = context.optional_input("previous_statistics", ExampleStatistics)
    serving = context.optional_input("serving_statistics", ExampleStatistics)
    splits = selected_splits(statistics, context.parameters["exclude_splits"])
    pairs = context.parameters["include_split_pairs"]
    for other in (previous, serving):
        if pairs is not None and other is not None:
            check_pairs(pairs, splits, other.split_names)
    output.split_names = splits
    output.properties["span"] = int(statistics.properties.get("span", 0))

    anomalies: list[Anomaly] = []
    measurements: list[Measurement] = []
    for split in splits:
        own = tfdv.load_stats_binary(statistics.stats_path(split))
        found = validate_split(
            split,
            own,
            schema,
            previous=_compared(previous, split, pairs),
            serving=_compared(serving, split, pairs),
            custom_validation_config=context.parameters["custom_validation_config"],
        )
        _write(output, split, found.SerializeToString(deterministic=True))
        anomalies += read_anomalies(split, found, schema)
        measurements += read_measurements(split, found)
        rows = own.datasets[0].num_examples
        context.reconcile(split, rows, rows)

    output.custom_properties["blessed"] = json.dumps(
        {split: int(all(anomaly.split != split for anomaly in anomalies)) for split in splits}
    )
    output.custom_properties["drift_skew"] = json.dumps(
        [dataclasses.asdict(measurement) for measurement in measurements]
    )
    for line in not_checked(schema, "drift", previous, "previous_statistics"):
        context.note(line)
    for line in not_checked(schema, "skew", serving, "serving_statistics"):
        context.note(line)
    _note(context, [str(measurement) for measurement in measurements])
    _stop(anomalies, context.parameters["fail_on"])
    _note(context, [str(anomaly) for anomaly in anomalies] or ["no anomalies"])


def _write(output: ExampleAnomalies, split: str, content: bytes) -> None:
    os.makedirs(output.split_uri(split))
    with open(output.anomalies_path(split), "wb") as file:
        file.write(content)


def _compared(
    other: ExampleStatistics | None, split: str, pairs: Sequence[tuple[str, str]] | None
) -> Any:
    return load_split(other, other_split(split, pairs, other.split_names) if other else None)


def _note(context: ExecutorContext, lines: Sequence[str]) -> None:
    for line in lines[:_SHOWN_NOTES]:
        context.note(line)
    if len(lines) > _SHOWN_NOTES:
        context.note(f"and {len(lines) - _SHOWN_NOTES} more, in the anomalies artifact")


def _stop(anomalies: Sequence[Anomaly], fail_on: str | None) -> None:
    if fail_on is None:
        return
    severe = [anomaly for anomaly in anomalies if anomaly.severity in severity_from(fail_on)]
    if not severe:
        return
    listed = "\n".join(f"  {anomaly}" for anomaly in severe)
    raise ValidationError(
        f"{len(severe)} anomalies of severity {fail_on} or above:\n{listed}\n"
        f"mend the data, or change the schema if the data is right"
    )
