"""Reports the comparators of the schema that could not be evaluated.

TFDV silently skips most of them, and measures 0 if the statistics lack what a measure compares.
Each becomes an anomaly, because data that was not compared is not data without drift.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from prodml.components.example_validator.comparisons import COMPARATORS, measure_name
from prodml.components.example_validator.controls import Control
from prodml.components.example_validator.expectations import is_in_production

_Info = anomalies_pb2.AnomalyInfo
_Path = tuple[str, ...]
_Features = Mapping[_Path, Any]

_MEASURES: Mapping[str, str] = {
    "infinity_norm": "L_INFTY",
    "normalized_abs_difference": "NORMALIZED_ABSOLUTE_DIFFERENCE",
    "jensen_shannon_divergence": "JENSEN_SHANNON_DIVERGENCE",
}
"""TFDV's measure for each field of a FeatureComparator."""

_TFDV_DESCRIPTIONS: Mapping[str, str] = {
    "drift": "previous data is missing.",
    "skew": "serving data is missing.",
}
"""TFDV's description if only the feature is absent from the statistics to compare with."""

_COUNTING = ("infinity_norm", "normalized_abs_difference")
"""Measures that compare how often each value occurs."""


@dataclass(frozen=True)
class Unchecked:
    """A comparator that could not be evaluated.

    Attributes:
        kind: "drift" or "skew"; "custom" for a condition of a CustomValidationConfig.
        path: path of the feature; empty for the number of examples.
        reason: why the comparator was not evaluated, and what to do.
        is_expected: whether there is nothing to compare with, as on a first run.
    """

    kind: str
    path: _Path
    reason: str
    is_expected: bool = False

    def __str__(self) -> str:
        what = f"`{'.'.join(self.path)}`" if self.path else "the number of examples"
        kind = "custom condition" if self.kind == "custom" else self.kind
        return f"{kind} of {what} was not checked: {self.reason}"


def find_unchecked(
    schema: Any, statistics: Any, controls: Sequence[Control], anomalies: Any
) -> list[Unchecked]:
    """Finds the comparators of the schema that could not be evaluated in one split.

    Measurements that TFDV reports without a comparison are removed from `anomalies`.

    Args:
        schema: the schema.
        statistics: statistics of the split, with rows.
        controls: the statistics that the split was compared with.
        anomalies: the Anomalies proto of TFDV.
    """
    own = _features(statistics)
    found: list[Unchecked] = []
    for control in controls:
        field = COMPARATORS[control.kind]
        compared = _features(control.statistics)
        for path, feature in _schema_features(schema.feature):
            if feature.HasField(field) and is_in_production(feature):
                reasons = _reasons(getattr(feature, field), path, own, compared, control, anomalies)
                if reasons:
                    is_expected = not control.is_given or (
                        control.statistics is not None
                        and not _has_values(own.get(path))
                        and not _has_values(compared.get(path))
                    )
                    found.append(Unchecked(control.kind, path, "; ".join(reasons), is_expected))
        if control.kind == "drift":
            found += _unchecked_counts(schema.dataset_constraints, control)
    return found


def report(anomalies: Any, unchecked: Sequence[Unchecked], severity: str | None) -> None:
    """Adds an anomaly for each comparator that could not be evaluated.

    Args:
        anomalies: the Anomalies proto of the split.
        unchecked: the comparators that could not be evaluated.
        severity: "WARNING" or "ERROR" for all of them; None for a warning if there is nothing to
            compare with, and an error otherwise.
    """
    for each in unchecked:
        info = _info(anomalies, each.path)
        known = _TFDV_DESCRIPTIONS.get(each.kind)
        reason = next((r for r in info.reason if r.description.strip() == known), None)
        if reason is not None and len(info.reason) == 1:
            info.severity = _Info.UNKNOWN
        if reason is None:
            reason = info.reason.add(type=_Info.COMPARATOR_CONTROL_DATA_MISSING)
        reason.short_description = f"{each.kind.capitalize()} not checked"
        reason.description = str(each)
        own = severity or ("WARNING" if each.is_expected else "ERROR")
        info.severity = max(info.severity, _Info.Severity.Value(own))
        info.description = " ".join(r.description.strip() for r in info.reason)
        is_one = len(info.reason) == 1
        info.short_description = reason.short_description if is_one else "Multiple errors"


def _reasons(
    comparator: Any,
    path: _Path,
    own: _Features,
    compared: _Features,
    control: Control,
    anomalies: Any,
) -> list[str]:
    wanted = [name for name in _MEASURES if comparator.HasField(name)]
    without = [name for name in wanted if not getattr(comparator, name).HasField("threshold")]
    if not wanted or without:
        named = f"{COMPARATORS[control.kind]}{f'.{without[0]}' if without else ''}"
        return [f"its {named} in the schema has no threshold; set one"]
    if control.statistics is None:
        return [control.absence]
    one, other = own.get(path), compared.get(path)
    reasons = []
    for name in wanted:
        measured = _measurements(anomalies, control.kind, path)
        found = next((m for m in measured if measure_name(m) == _MEASURES[name]), None)
        is_comparable = name not in _COUNTING or (_has_counts(one) and _has_counts(other))
        if found is not None and (is_comparable or found.value > found.threshold):
            continue
        if found is not None:
            # TFDV measures 0 for numbers that were not counted, however different they are.
            measured.remove(found)
        reasons.append(_reason(name, one, other, control))
    return list(dict.fromkeys(reasons))


def _reason(measure: str, one: Any, other: Any, control: Control) -> str:
    if not _has_values(other):
        return f"{control.name} has no values of the feature"
    if not _has_values(one):
        return "the feature has no values"
    if _kind_text(one) != _kind_text(other):
        return f"the feature is {_kind_text(one)}, but {_kind_text(other)} in {control.name}"
    if measure in _COUNTING:
        return (
            f"{measure} compares how often each value occurs, and numbers are not counted by "
            f"value; use jensen_shannon_divergence, or declare the feature categorical in the "
            f"schema input of StatisticsGen"
        )
    return f"{measure} needs a histogram of the values, which are all NaN or were not counted"


def _unchecked_counts(constraints: Any, control: Control) -> Iterator[Unchecked]:
    if constraints.HasField("num_examples_drift_comparator"):
        comparator = constraints.num_examples_drift_comparator
        if not any(map(comparator.HasField, ("min_fraction_threshold", "max_fraction_threshold"))):
            reason = "its num_examples_drift_comparator in the schema has no threshold; set one"
            yield Unchecked("drift", (), reason)
        elif control.statistics is None:
            yield Unchecked("drift", (), control.absence, not control.is_given)
        elif control.sampling:
            yield Unchecked("drift", (), control.sampling)
    if constraints.HasField("num_examples_version_comparator"):
        yield Unchecked(
            "drift",
            (),
            "ExampleValidator has no input for statistics of an earlier version; set "
            "num_examples_drift_comparator instead of num_examples_version_comparator",
            is_expected=True,
        )


def _schema_features(features: Any, parent: _Path = ()) -> Iterator[tuple[_Path, Any]]:
    for feature in features:
        path = (*parent, feature.name)
        yield path, feature
        yield from _schema_features(feature.struct_domain.feature, path)


def _features(statistics: Any) -> _Features:
    if statistics is None:
        return {}
    return {
        tuple(feature.path.step) or (feature.name,): feature
        for feature in statistics.datasets[0].features
    }


def _has_values(feature: Any) -> bool:
    if feature is None or feature.WhichOneof("stats") is None:
        return False
    statistics = getattr(feature, feature.WhichOneof("stats"))
    return bool(getattr(statistics, "common_stats", statistics).num_non_missing)


def _has_counts(feature: Any) -> bool:
    return feature is not None and bool(feature.string_stats.rank_histogram.buckets)


def _kind_text(feature: Any) -> str:
    name = str(statistics_pb2.FeatureNameStatistics.Type.Name(feature.type))
    is_counted = feature.WhichOneof("stats") == "string_stats" and name != "STRING"
    return f"{name} counted by value" if is_counted else name


def _measurements(anomalies: Any, kind: str, path: _Path) -> Any:
    infos = (info for info in anomalies.drift_skew_info if tuple(info.path.step) == path)
    return next((getattr(info, f"{kind}_measurements") for info in infos), [])


def _info(anomalies: Any, path: _Path) -> Any:
    if not path:
        return anomalies.dataset_anomaly_info
    for info in anomalies.anomaly_info.values():
        if tuple(info.path.step) == path:
            return info
    info = anomalies.anomaly_info[".".join(path)]
    info.path.step.extend(path)
    return info
