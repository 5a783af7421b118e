"""Drift and skew: which splits are compared, and what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2

from prodml.artifacts import ExampleStatistics
from prodml.dsl.component import suggest
from prodml.errors import InputDataError

FORMULAS: Mapping[str, str] = {
    "L_INFTY": "L-infinity distance max_v |p(v) - q(v)|",
    "JENSEN_SHANNON_DIVERGENCE": (
        "Jensen-Shannon divergence (KL(p||m) + KL(q||m)) / 2, m = (p + q) / 2, base 2"
    ),
    "NORMALIZED_ABSOLUTE_DIFFERENCE": (
        "normalized absolute difference max_v |count_p(v) - count_q(v)| / (rows_p + rows_q)"
    ),
}
"""How TFDV computes each measure; p is the split validated, q the one it is compared with."""

COMPARATORS: Mapping[str, str] = {"drift": "drift_comparator", "skew": "skew_comparator"}


@dataclass(frozen=True)
class Measurement:
    """How far one feature of one split is from the same feature in other statistics."""

    split: str
    feature: str
    kind: str
    measure: str
    value: float
    threshold: float

    def __str__(self) -> str:
        verdict = "above" if self.value > self.threshold else "within"
        return (
            f"{self.kind} of {self.feature} in {self.split}: {FORMULAS[self.measure]} = "
            f"{self.value:.6g}, {verdict} the threshold {self.threshold:.6g}"
        )


def read_measurements(split: str, anomalies: Any) -> list[Measurement]:
    """What was measured in one split, by feature."""
    return [
        Measurement(
            split=split,
            feature=".".join(info.path.step),
            kind=kind,
            measure=anomalies_pb2.DriftSkewInfo.Measurement.Type.Name(measured.type),
            value=measured.value,
            threshold=measured.threshold,
        )
        for info in anomalies.drift_skew_info
        for kind in COMPARATORS
        for measured in getattr(info, f"{kind}_measurements")
    ]


def compared_features(schema: Any, kind: str) -> list[str]:
    """The features that the schema has a comparator for; `kind` is "drift" or "skew"."""
    return [f.name for f in schema.feature if f.HasField(COMPARATORS[kind])]


def other_split(
    split: str, pairs: Sequence[tuple[str, str]] | None, others: Sequence[str]
) -> str | None:
    """The split that one is compared with: its pair, or the one of the same name."""
    if pairs is None:
        return split if split in others else None
    return dict(pairs).get(split)


def check_pairs(
    pairs: Sequence[tuple[str, str]], splits: Sequence[str], others: Sequence[str]
) -> None:
    """Checks `include_split_pairs`.

    Raises:
        InputDataError: a split does not exist, or one is to be compared with two.
    """
    lefts = [left for left, _ in pairs]
    for left, right in pairs:
        for name, known in ((left, splits), (right, others)):
            if name not in known:
                raise InputDataError(
                    f"include_split_pairs ({left!r}, {right!r}): there is no split {name!r}"
                    f"{suggest(name, known)}"
                )
        if lefts.count(left) > 1:
            raise InputDataError(f"include_split_pairs compares split {left!r} with two others")


def load_split(statistics: ExampleStatistics | None, split: str | None) -> Any:
    """The statistics of a split, or None where there are none."""
    if statistics is None or split is None:
        return None
    return tfdv.load_stats_binary(statistics.stats_path(split))


def not_checked(
    schema: Any, kind: str, statistics: ExampleStatistics | None, input_key: str
) -> Iterator[str]:
    """A line for each comparator in the schema that had nothing to compare with."""
    features = compared_features(schema, kind)
    if features and statistics is None:
        yield (
            f"{kind} not checked: the schema has a {COMPARATORS[kind]} for "
            f"{', '.join(features)}, but there are no {input_key} to compare with"
        )
