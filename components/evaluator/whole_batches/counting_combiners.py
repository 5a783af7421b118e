"""TFMA's counting combiners, computed on whole batches.

TFMA passes one row at a time to a combiner. The combiners listed here only add up terms of each
row, so the terms of a batch are computed as arrays and summed by slice. The sums become the
accumulator that the combiner would have created itself, and the combiner extracts its output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from prodml.components.evaluator.tfma import (
    aggregation,
    binary_confusion_matrices,
    calibration,
    calibration_histogram,
    cross_entropy_metrics,
    example_count,
    mean_regression_error,
    metric_util,
    multi_class_confusion_matrix_metrics,
    squared_pearson_correlation,
    tjur_discrimination,
)
from prodml.components.evaluator.whole_batches import total_combiners
from prodml.components.evaluator.whole_batches.confusion_matrices import (
    ConfusionMatrices,
    MultiClassMatrices,
)
from prodml.components.evaluator.whole_batches.metric_inputs import (
    MetricInputs,
    all_classes,
    inputs_of,
)
from prodml.components.evaluator.whole_batches.prediction_histograms import Histogram
from prodml.components.evaluator.whole_batches.sums_by_key import Sums, Terms


class Summed(Protocol):
    """A combiner that is computed on whole batches."""

    def terms(self, extracts: Mapping[str, Any]) -> Terms:
        """The terms that each row of a batch adds."""

    def metrics(self, sums: Sums) -> Mapping[Any, Any]:
        """The combiner's metrics for the summed rows, by metric key."""


def summed(combiner: Any) -> Summed | None:
    """The combiner for whole batches; None if it must be computed row by row by TFMA."""
    make = _KNOWN.get(type(combiner))
    return make(combiner) if make is not None else None


@dataclass(frozen=True)
class _ExampleCount:
    combiner: Any

    def terms(self, extracts: Mapping[str, Any]) -> Terms:
        weights = self._weights(extracts)
        return Terms(np.zeros(weights.shape, np.int64), [weights])

    def metrics(self, sums: Sums) -> Any:
        count = float(sums.values[0, 0]) if len(sums.values) else 0.0
        return self.combiner.extract_output(count)

    def _weights(self, extracts: Mapping[str, Any]) -> Any:
        combiner = self.combiner
        weights = extracts.get("example_weights") if combiner._example_weighted else None
        for name in (combiner._model_name, combiner._output_name):
            if isinstance(weights, Mapping):
                weights = weights.get(name, weights)
        if isinstance(weights, Mapping):
            raise ValueError("weighted example counts of several outputs need output_names")
        rows = len(extracts["input"])
        return np.ones((rows, 1)) if weights is None else np.asarray(weights).reshape(rows, -1)


@dataclass(frozen=True)
class _Histogram:
    combiner: Any
    inputs: MetricInputs

    def terms(self, extracts: Mapping[str, Any]) -> Terms:
        combiner = self.combiner
        pairs = (
            self.inputs.whole_labels(extracts)
            if combiner._fractional_labels
            else self.inputs.pairs(extracts)
        )
        labels = pairs.labels.astype(np.float64)
        predictions = pairs.predictions.astype(np.float64)
        sorted_by = predictions if combiner._prediction_based_bucketing else labels
        if np.isnan(sorted_by).any():
            raise ValueError("a prediction or label is NaN, which a histogram cannot contain")
        last = combiner._num_buckets + 1
        place = (sorted_by - combiner._left) / combiner._range * combiner._num_buckets + 1
        return Terms(
            # Clip before the conversion, because int64 has no infinity.
            np.clip(place, 0, last).astype(np.int64),
            [labels * pairs.weights, predictions * pairs.weights, pairs.weights],
            pairs.kept,
        )

    def metrics(self, sums: Sums) -> Any:
        return {self.combiner._key: Histogram(sums)}


@dataclass(frozen=True)
class _ClassWeights:
    combiner: Any
    inputs: MetricInputs

    def terms(self, extracts: Mapping[str, Any]) -> Terms:
        labels, _, weights = self.inputs.select(extracts)
        ids = np.array(self.combiner._class_ids, np.int64)
        if labels.shape[1] == 1:
            values = (labels == ids).astype(np.float64)
        else:
            if ids.max() >= labels.shape[1]:
                raise ValueError(
                    f"class_id {ids.max()} is out of range of {labels.shape[1]} label values"
                )
            values = labels[:, ids]
        keys = np.broadcast_to(np.arange(len(ids)), values.shape)
        return Terms(keys, [values * weights[:, None]])

    def metrics(self, sums: Sums) -> Any:
        accumulator = self.combiner.create_accumulator()
        for key, value in zip(sums.keys.tolist(), sums.values[:, 0].tolist(), strict=True):
            accumulator[self.combiner._class_ids[key]] = value
        return self.combiner.extract_output(accumulator)


def _histogram(combiner: Any) -> Summed | None:
    inputs = inputs_of(combiner, combiner._key)
    return _Histogram(combiner, inputs) if inputs is not None else None


def _confusion_matrices(combiner: Any) -> Summed | None:
    inputs = inputs_of(combiner, combiner._key)
    reads = combiner._extract_label_prediction_and_weight
    if inputs is None or combiner._example_id_key or not _is_standard(reads):
        return None
    return ConfusionMatrices(combiner, inputs)


def _multi_class_matrices(combiner: Any) -> Summed | None:
    thresholds = combiner._thresholds
    if not _is_standard(combiner._extract_label_prediction_and_weight):
        return None
    if len(set(thresholds)) != len(thresholds):
        return None
    return MultiClassMatrices(combiner, all_classes(combiner))


def _is_standard(reads: Any) -> bool:
    return reads is metric_util.to_label_prediction_example_weight


_KNOWN: Mapping[type, Callable[[Any], Summed | None]] = {
    example_count._ExampleCountCombiner: _ExampleCount,
    calibration_histogram._CalibrationHistogramCombiner: _histogram,
    binary_confusion_matrices._BinaryConfusionMatrixCombiner: _confusion_matrices,
    multi_class_confusion_matrix_metrics._MultiClassConfusionMatrixCombiner: _multi_class_matrices,
    aggregation._ClassWeightsFromLabelsCombiner: lambda combiner: _ClassWeights(
        combiner, all_classes(combiner)
    ),
    calibration._WeightedLabelsPredictionsExamplesCombiner: total_combiners.weighted_examples,
    squared_pearson_correlation._SquaredPearsonCorrelationCombiner: total_combiners.pearson,
    tjur_discrimination._TjurDiscriminationCombiner: total_combiners.tjur,
    mean_regression_error._MeanAbsoluteErrorCombiner: total_combiners.absolute_error,
    mean_regression_error._MeanSquaredErrorCombiner: total_combiners.squared_error,
    mean_regression_error._MeanAbsolutePercentageErrorCombiner: total_combiners.percentage_error,
    mean_regression_error._MeanSquaredLogarithmicErrorCombiner: (
        total_combiners.squared_logarithmic_error
    ),
    cross_entropy_metrics._BinaryCrossEntropyCombiner: total_combiners.binary_cross_entropy,
    cross_entropy_metrics._CategoricalCrossEntropyCombiner: (
        total_combiners.categorical_cross_entropy
    ),
}
