"""Confusion matrices of whole batches, for all thresholds at once.

A row adds to one cell, which is defined by the thresholds around its prediction and by its label.
The matrix at a threshold is then a sum of cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from prodml.components.evaluator.tfma import (
    bcm_computations,
)
from prodml.components.evaluator.tfma import multi_class_confusion_matrix_metrics as metrics
from prodml.components.evaluator.whole_batches.metric_inputs import MetricInputs
from prodml.components.evaluator.whole_batches.sums_by_key import Sums, Terms

_MAX_CLASSES = 1 << 20


@dataclass(frozen=True)
class ConfusionMatrices:
    """True and false positives and negatives of a binary metric."""

    combiner: Any
    inputs: MetricInputs

    def terms(self, extracts: Mapping[str, Any]) -> Terms:
        thresholds = self._thresholds()
        if self.combiner._enable_fractional_labels:
            pairs = self.inputs.whole_labels(extracts)
            label_places = (pairs.labels == 1).astype(np.int64) * len(thresholds)
        else:
            pairs = self.inputs.pairs(extracts)
            label_places = _places(pairs.labels, thresholds)
        places = _places(pairs.predictions, thresholds)
        keys = places * (len(thresholds) + 1) + label_places
        return Terms(keys, [pairs.weights], pairs.kept)

    def metrics(self, sums: Sums) -> Any:
        thresholds = self._thresholds()
        places, label_places = np.divmod(sums.keys, len(thresholds) + 1)
        weights = sums.values[:, 0]
        accumulator = {}
        for i, threshold in enumerate(thresholds.tolist()):
            predicted, labelled = places > i, label_places > i
            cells = (
                predicted & labelled,
                ~predicted & ~labelled,
                predicted & ~labelled,
                ~predicted & labelled,
            )
            matrix = bcm_computations.Matrix(*(float(weights[cell].sum()) for cell in cells))
            accumulator[threshold] = bcm_computations._ThresholdEntry(matrix, [], [], [], [])
        return self.combiner.extract_output(accumulator)

    def _thresholds(self) -> Any:
        return np.unique(np.array(self.combiner._binary_confusion_matrices._thresholds, float))


@dataclass(frozen=True)
class MultiClassMatrices:
    """How often one class was predicted for another, for predictions above each threshold."""

    combiner: Any
    inputs: MetricInputs

    def terms(self, extracts: Mapping[str, Any]) -> Terms:
        labels, predictions, weights = self.inputs.select(extracts)
        classes = predictions.shape[1]
        if not 1 < classes <= _MAX_CLASSES:
            raise ValueError(f"expected predictions of several classes, got {classes} per row")
        actual = np.argmax(labels, axis=1) if labels.shape[1] > 1 else labels[:, 0].astype(np.int64)
        if not ((actual > -_MAX_CLASSES) & (actual < _MAX_CLASSES)).all():
            # The keys below would overflow.
            raise ValueError(f"expected labels that are class ids below {_MAX_CLASSES}")
        predicted = np.argmax(predictions, axis=1)
        best = predictions[np.arange(len(predictions)), predicted]
        # TFMA skips the later thresholds of a prediction that did not exceed one.
        reached = np.maximum.accumulate(np.array(self.combiner._thresholds, float))
        exceeded = np.where(np.isnan(best), len(reached), _places(best, reached))
        keys = (actual * _MAX_CLASSES + predicted) * (len(reached) + 1) + exceeded
        return Terms(keys[:, None], [weights[:, None]])

    def metrics(self, sums: Sums) -> Any:
        thresholds = self.combiner._thresholds
        cells, exceeded = np.divmod(sums.keys, len(thresholds) + 1)
        actual, predicted = np.divmod(cells, _MAX_CLASSES)
        accumulator = self.combiner.create_accumulator()
        for i, threshold in enumerate(thresholds if len(cells) else ()):
            entries = accumulator.setdefault(threshold, {})
            taken_for = np.where(exceeded > i, predicted, metrics.NO_PREDICTED_CLASS_ID)
            columns = (actual.tolist(), taken_for.tolist(), sums.values[:, 0].tolist())
            for *classes, weight in zip(*columns, strict=True):
                key = metrics.MatrixEntryKey(*classes)
                entries[key] = entries.get(key, 0.0) + weight
        return self.combiner.extract_output(accumulator)


def _places(values: Any, thresholds: Any) -> Any:
    """The number of ascending thresholds that each value exceeds; NaN exceeds none."""
    places = np.searchsorted(thresholds, values.astype(np.float64), side="left")
    return np.where(np.isnan(values), 0, places)
