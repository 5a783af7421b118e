"""A custom metric that reads a feature that no model reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np

from prodml.components.evaluator.tfma import metric_types


class LongestFlight(metric_types.Metric):  # type: ignore[misc]
    def __init__(self, name: str = "longest_flight") -> None:
        super().__init__(_longest, name=name)


class _Longest(beam.CombineFn):  # type: ignore[misc]
    def __init__(self, key: Any) -> None:
        self._key = key

    def create_accumulator(self) -> float:
        return 0.0

    def add_input(self, longest: float, inputs: Any) -> float:
        return max(longest, float(np.max(inputs.features["distance"])))

    def merge_accumulators(self, longest: Iterable[float]) -> float:
        return max(longest)

    def extract_output(self, longest: float) -> dict[Any, float]:
        return {self._key: longest}


def _longest(name: str, model_name: str = "", **_: Any) -> list[Any]:
    key = metric_types.MetricKey(name=name, model_name=model_name)
    every = metric_types.StandardMetricInputsPreprocessor(
        include_filter={"features": {"distance": {}}}, include_default_inputs=False
    )
    return [metric_types.MetricComputation([key], [every], _Longest(key))]
