"""Executor of ExampleValidator."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence

import tensorflow_data_validation as tfdv

from prodml.artifacts import ExampleAnomalies, ExampleStatistics, Schema
from prodml.components.example_validator.comparisons import Measurement, read_measurements
from prodml.components.example_validator.controls import INPUTS, check_pairs, find_control
from prodml.components.example_validator.custom_conditions import read_config, remove_unchecked
from prodml.components.example_validator.unchecked import find_unchecked, report
from prodml.components.example_validator.validation import (
    Anomaly,
    read_anomalies,
    severity_from,
    validate_split,
)
from prodml.data.schemas import read_schema
from prodml.data.split_selection import selected_splits
from prodml.dsl.executor import ExecutorContext
from prodml.errors import ValidationError

_SHOWN_NOTES = 20


def execute(context: ExecutorContext) -> None:
    statistics = context.input("statistics", ExampleStatistics)
    output = context.output("anomalies", ExampleAnomalies)
    schema = read_schema(context.input("schema", Schema).schema_path)
    others = {
        kind: [a for a in context.inputs[key] if isinstance(a, ExampleStatistics)]
        for kind, key in INPUTS.items()
    }
    splits = selected_splits(statistics, context.parameters["exclude_splits"])
    pairs = context.parameters["include_split_pairs"]
    for given in others.values():
        if pairs is not None and given:
            check_pairs(pairs, splits, given[0].split_names)
    output.split_names = splits
    # LatestValidatedStatisticsStrategy finds validated statistics by this property.
    output.custom_properties["statistics_id"] = statistics.id
    output.properties["span"] = int(statistics.properties.get("span", 0))

    anomalies: list[Anomaly] = []
    measurements: list[Measurement] = []
    for split in splits:
        own = tfdv.load_stats_binary(statistics.stats_path(split))
        controls = [
            control
            for kind in INPUTS
            if (control := find_control(kind, statistics, others[kind], split, pairs))
        ]
        custom = read_config(context.parameters["custom_validation_config"])
        unchecked = remove_unchecked(custom, next((c for c in controls if c.kind == "drift"), None))
        compared = {control.kind: control.statistics for control in controls}
        found = validate_split(split, own, schema, compared, custom)
        if not found.data_missing:
            unchecked += find_unchecked(schema, own, controls, found)
            report(found, unchecked, context.parameters["unchecked_severity"])
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
    _note(context, [str(measurement) for measurement in measurements])
    _raise_if_severe(anomalies, context.parameters["fail_on"])
    _note(context, [str(anomaly) for anomaly in anomalies] or ["no anomalies"])


def _write(output: ExampleAnomalies, split: str, content: bytes) -> None:
    os.makedirs(output.split_uri(split))
    with open(output.anomalies_path(split), "wb") as file:
        file.write(content)


def _note(context: ExecutorContext, lines: Sequence[str]) -> None:
    for line in lines[:_SHOWN_NOTES]:
        context.note(line)
    if len(lines) > _SHOWN_NOTES:
        context.note(f"and {len(lines) - _SHOWN_NOTES} more, in the anomalies artifact")


def _raise_if_severe(anomalies: Sequence[Anomaly], fail_on: str | None) -> None:
    if fail_on is None:
        return
    severe = [anomaly for anomaly in anomalies if anomaly.severity in severity_from(fail_on)]
    if not severe:
        return
    listed = "\n".join(f"  {anomaly}" for anomaly in severe)
    raise ValidationError(
        f"{len(severe)} anomalies of severity {fail_on} or above:\n{listed}\n"
        f"fix the data, or change the schema if the data is correct"
    )
