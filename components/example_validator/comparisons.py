"""Measurements of drift and skew, with their formulas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2

FORMULAS: Mapping[str, str] = {
    "L_INFTY": "L-infinity distance max_v |p(v) - q(v)|",
    "JENSEN_SHANNON_DIVERGENCE": (
        "Jensen-Shannon divergence (KL(p||m) + KL(q||m)) / 2, m = (p + q) / 2, base 2"
    ),
    "NORMALIZED_ABSOLUTE_DIFFERENCE": (
        "normalized absolute difference max_v |count_p(v) - count_q(v)| / (rows_p + rows_q)"
    ),
}
"""TFDV's formula of each measure; p is the validated split, q the split it is compared with."""

COMPARATORS: Mapping[str, str] = {"drift": "drift_comparator", "skew": "skew_comparator"}


@dataclass(frozen=True)
class Measurement:
    """The measured distance of one feature of a split from the same feature in other statistics."""

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
    """The measurements in one split, by feature."""
    return [
        Measurement(
            split=split,
            feature=".".join(info.path.step),
            kind=kind,
            measure=measure_name(measured),
            value=measured.value,
            threshold=measured.threshold,
        )
        for info in anomalies.drift_skew_info
        for kind in COMPARATORS
        for measured in getattr(info, f"{kind}_measurements")
    ]


def measure_name(measured: Any) -> str:
    """The key in FORMULAS of a DriftSkewInfo.Measurement."""
    return str(anomalies_pb2.DriftSkewInfo.Measurement.Type.Name(measured.type))
