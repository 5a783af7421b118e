"""TFMA's combiners whose accumulator is a few totals, computed on whole batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prodml.components.evaluator.whole_batches.metric_inputs import (
    MetricInputs,
    all_classes,
    inputs_of,
)
from prodml.components.evaluator.whole_batches.sums_by_key import Sums, Terms


@dataclass(frozen=True)
class Totals:
    """A combiner whose accumulator is an object with totals as attributes.

    Attributes:
        combiner: TFMA's combiner.
        inputs: the combiner's inputs.
        names: names of the totals in the accumulator.
        terms_of: computes the terms of each total, of shape [rows, m].
        skips_nan: whether rows whose first term is NaN are skipped.
    """

    combiner: Any
    inputs: MetricInputs
    names: Sequence[str]
    terms_of: Callable[[Any, MetricInputs, Mapping[str, Any]], Sequence[Any]]
    skips_nan: bool = False

    def terms(self, extracts: Mapping[str, Any]) -> Terms:
        with np.errstate(all="ignore"):
            values = self.terms_of(self.combiner, self.inputs, extracts)
        kept = ~np.isnan(values[0]) if self.skips_nan else None
        return Terms(np.zeros(values[0].shape, np.int64), values, kept)

    def metrics(self, sums: Sums) -> Any:
        accumulator = self.combiner.create_accumulator()
        for row in sums.values:
            for name, value in zip(self.names, row, strict=True):
                setattr(accumulator, name, float(value))
        return self.combiner.extract_output(accumulator)


def weighted_examples(combiner: Any) -> Totals | None:
    """The Totals for `calibration._WeightedLabelsPredictionsExamplesCombiner`."""
    inputs = inputs_of(combiner, combiner._key)
    if inputs is None:
        return None
    names = ["total_weighted_labels", "total_weighted_predictions", "total_weighted_examples"]
    return Totals(combiner, inputs, names, _weighted_examples)


def pearson(combiner: Any) -> Totals:
    """The Totals for `squared_pearson_correlation._SquaredPearsonCorrelationCombiner`."""
    names = [
        "total_weighted_labels",
        "total_weighted_predictions",
        "total_weighted_squared_labels",
        "total_weighted_squared_predictions",
        "total_weighted_labels_times_predictions",
        "total_weighted_examples",
    ]
    return Totals(combiner, all_classes(combiner), names, _pearson)


def tjur(combiner: Any) -> Totals:
    """The Totals for `tjur_discrimination._TjurDiscriminationCombiner`."""
    names = [
        "total_negative_weighted_labels",
        "total_positive_weighted_labels",
        "total_negative_weighted_predictions",
        "total_positive_weighted_predictions",
    ]
    return Totals(combiner, all_classes(combiner), names, _tjur)


def absolute_error(combiner: Any) -> Totals | None:
    """The Totals for `mean_regression_error._MeanAbsoluteErrorCombiner`."""
    return _regression(combiner, lambda labels, predictions: np.absolute(labels - predictions))


def squared_error(combiner: Any) -> Totals | None:
    """The Totals for `mean_regression_error._MeanSquaredErrorCombiner`."""
    return _regression(combiner, _squared)


def percentage_error(combiner: Any) -> Totals | None:
    """The Totals for `mean_regression_error._MeanAbsolutePercentageErrorCombiner`."""
    return _regression(combiner, _percentage)


def squared_logarithmic_error(combiner: Any) -> Totals | None:
    """The Totals for `mean_regression_error._MeanSquaredLogarithmicErrorCombiner`."""
    return _regression(
        combiner,
        lambda labels, predictions: _squared(np.log(labels + 1), np.log(predictions + 1)),
    )


def binary_cross_entropy(combiner: Any) -> Totals | None:
    """The Totals for `cross_entropy_metrics._BinaryCrossEntropyCombiner`."""
    return _cross_entropy(combiner, _binary_entropy)


def categorical_cross_entropy(combiner: Any) -> Totals | None:
    """The Totals for `cross_entropy_metrics._CategoricalCrossEntropyCombiner`."""
    return _cross_entropy(combiner, _categorical_entropy)


def _weighted_examples(
    combiner: Any, inputs: MetricInputs, extracts: Mapping[str, Any]
) -> Sequence[Any]:
    labels, predictions, weights = _floats(inputs, extracts)
    return [labels * weights, predictions * weights, weights]


def _pearson(combiner: Any, inputs: MetricInputs, extracts: Mapping[str, Any]) -> Sequence[Any]:
    labels, predictions, weights = _floats(inputs, extracts)
    return [
        weights * labels,
        weights * predictions,
        weights * labels**2,
        weights * predictions**2,
        weights * labels * predictions,
        weights,
    ]


def _tjur(combiner: Any, inputs: MetricInputs, extracts: Mapping[str, Any]) -> Sequence[Any]:
    labels, predictions, weights = _floats(inputs, extracts)
    negative, positive = (1.0 - labels) * weights, labels * weights
    return [negative, positive, negative * predictions, positive * predictions]


def _floats(inputs: MetricInputs, extracts: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    pairs = inputs.pairs(extracts)
    return pairs.labels.astype(np.float64), pairs.predictions.astype(np.float64), pairs.weights


def _regression(combiner: Any, error: Callable[[Any, Any], Any]) -> Totals | None:
    def terms_of(combiner: Any, inputs: MetricInputs, extracts: Mapping[str, Any]) -> Sequence[Any]:
        # Computed in the types of labels and predictions, as TFMA does.
        pairs = inputs.pairs(extracts)
        errors = error(pairs.labels, pairs.predictions).astype(np.float64)
        return [errors * pairs.weights, pairs.weights]

    inputs = inputs_of(combiner, combiner._metric_key)
    if inputs is None:
        return None
    names = ["total_regression_error", "total_example_weights"]
    return Totals(combiner, inputs, names, terms_of, skips_nan=True)


def _squared(labels: Any, predictions: Any) -> Any:
    return np.absolute(labels - predictions).astype(np.float64) ** 2


def _percentage(labels: Any, predictions: Any) -> Any:
    return np.where(labels == 0, np.nan, 100 * np.absolute((labels - predictions) / labels))


def _cross_entropy(combiner: Any, entropy: Callable[[Any, Any, Any], Any]) -> Totals | None:
    def terms_of(combiner: Any, inputs: MetricInputs, extracts: Mapping[str, Any]) -> Sequence[Any]:
        labels, predictions, weights = inputs.select(extracts)
        entropies = np.asarray(entropy(combiner, labels, predictions), np.float64)
        return [(entropies * weights)[:, None], weights[:, None]]

    inputs = inputs_of(combiner, combiner._metric_key)
    if inputs is None or inputs.class_weights:
        return None
    names = ["total_cross_entropy", "total_example_weights"]
    return Totals(combiner, inputs, names, terms_of)


def _binary_entropy(combiner: Any, labels: Any, predictions: Any) -> Any:
    smoothing = combiner._label_smoothing
    labels = labels * (1.0 - smoothing) + 0.5 * smoothing
    if combiner._from_logits:
        rest = np.log(1 + np.exp(-np.abs(predictions)))
        return np.mean(np.maximum(predictions, 0) - predictions * labels + rest, axis=1)
    entropies = -labels * np.log(predictions) - (1 - labels) * np.log(1 - predictions)
    return np.mean(entropies, axis=1)


def _categorical_entropy(combiner: Any, labels: Any, predictions: Any) -> Any:
    smoothing = combiner._label_smoothing
    labels = labels * (1.0 - smoothing) + smoothing / predictions.shape[1]
    if combiner._from_logits:
        predictions = np.exp(predictions)
    shares = predictions / np.sum(predictions, axis=1, keepdims=True)
    # Shares without a logarithm are skipped, as by np.ma.log, which TFMA calls.
    return -np.sum(np.where(shares > 0, labels * np.log(shares), 0.0), axis=1)
