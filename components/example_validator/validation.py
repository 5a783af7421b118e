"""Validates the statistics of one split, and reads the anomalies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2

from prodml.components.example_validator.expectations import expected_text, may_be_absent

SEVERITIES = ("UNKNOWN", "WARNING", "ERROR")
"""The severities in ascending order."""

WHOLE_SPLIT = "(whole split)"

_Info = anomalies_pb2.AnomalyInfo


@dataclass(frozen=True)
class Anomaly:
    """The description of one anomaly.

    Attributes:
        split: name of the split.
        feature: name of the feature, or WHOLE_SPLIT.
        severity: one of SEVERITIES.
        title: the kind of anomaly.
        found: what was found in the data.
        expected: what the schema expects.
    """

    split: str
    feature: str
    severity: str
    title: str
    found: str
    expected: str

    def __str__(self) -> str:
        return (
            f"{self.split}: {self.feature}: {self.severity}: {self.title}: "
            f"found: {self.found}; expected: {self.expected}"
        )


def validate_split(
    split: str,
    statistics: Any,
    schema: Any,
    controls: Mapping[str, Any],
    custom_validation_config: Any,
) -> Any:
    """Validates one split, and returns TFDV's Anomalies proto with two additions.

    The description of a missing feature has the number of rows, and a feature without a declared
    presence that is missing from every row, which TFDV accepts, gets a warning.

    Args:
        split: name of the split.
        statistics: statistics of the split.
        schema: the schema to validate against.
        controls: statistics to compare with, under "drift" and "skew".
        custom_validation_config: a CustomValidationConfig or None.
    """
    anomalies = tfdv.validate_statistics(
        statistics,
        schema,
        previous_statistics=controls.get("drift"),
        serving_statistics=controls.get("skew"),
        custom_validation_config=custom_validation_config,
    )
    rows = statistics.datasets[0].num_examples
    for feature in _missing_features(schema, statistics) if rows else ():
        _report_missing(anomalies, feature, f"missing from all {rows:,} rows of split {split!r}")
    return anomalies


def read_anomalies(split: str, anomalies: Any, schema: Any) -> list[Anomaly]:
    """The anomalies of one split, sorted by descending severity, then by feature."""
    found = [
        Anomaly(
            split,
            name := ".".join(info.path.step) or key,
            _Info.Severity.Name(info.severity),
            info.short_description,
            info.description.strip(),
            expected_text(schema, name),
        )
        for key, info in anomalies.anomaly_info.items()
    ]
    if anomalies.HasField("dataset_anomaly_info"):
        info = anomalies.dataset_anomaly_info
        found.append(
            Anomaly(
                split,
                WHOLE_SPLIT,
                _Info.Severity.Name(info.severity),
                info.short_description,
                info.description.strip(),
                "the dataset_constraints in the schema",
            )
        )
    if anomalies.data_missing:
        found.append(
            Anomaly(split, WHOLE_SPLIT, "ERROR", "No data", "0 rows", "rows of every feature")
        )
    return sorted(found, key=lambda a: (-SEVERITIES.index(a.severity), a.feature))


def _missing_features(schema: Any, statistics: Any) -> Iterator[Any]:
    present = {
        feature.path.step[0]
        for feature in statistics.datasets[0].features
        if len(feature.path.step) == 1 and _non_missing(feature) > 0
    }
    return (
        feature
        for feature in schema.feature
        if feature.name not in present and not may_be_absent(feature)
    )


def _non_missing(feature: Any) -> int:
    kind = feature.WhichOneof("stats")
    if kind is None:
        return 0
    statistics = getattr(feature, kind)
    common = statistics if kind == "struct_stats" else statistics.common_stats
    common = getattr(common, "common_stats", common)
    return int(common.num_non_missing)


def _report_missing(anomalies: Any, feature: Any, text: str) -> None:
    info = anomalies.anomaly_info[feature.name]
    absence = (_Info.FEATURE_TYPE_NOT_PRESENT, _Info.SCHEMA_MISSING_COLUMN)
    for reason in info.reason:
        if reason.type in absence:
            reason.description = f"{reason.description.strip()} It is {text}."
            info.description = " ".join(r.description.strip() for r in info.reason)
            return
    if info.reason:
        return
    info.path.step.append(feature.name)
    info.severity = _Info.WARNING
    reason = info.reason.add(type=_Info.SCHEMA_MISSING_COLUMN, short_description="Column dropped")
    reason.description = f"The feature is in the schema, but {text}."
    info.short_description, info.description = reason.short_description, reason.description


def severity_from(name: str) -> frozenset[str]:
    """The named severity and all higher ones."""
    return frozenset(SEVERITIES[SEVERITIES.index(name) :])
