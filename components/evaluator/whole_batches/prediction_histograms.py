"""Histograms of predictions, and the confusion matrices that TFMA derives from them.

TFMA creates 10,000 objects per histogram, iterates over them to rebin them for other thresholds,
and iterates again to compute matrices: 25 ms for each model and slice. Here the same additions are
done in the same order on arrays.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prodml.components.evaluator.tfma import binary_confusion_matrices, calibration_histogram
from prodml.components.evaluator.whole_batches.sums_by_key import Sums

_EPSILON = binary_confusion_matrices._EPSILON


@dataclass(frozen=True, eq=False)
class Histogram(Sequence[Any]):
    """TFMA's list of buckets, created from the sums on first access."""

    sums: Sums

    def __len__(self) -> int:
        return len(self.sums.keys)

    def __getitem__(self, place: Any) -> Any:
        return self._buckets[place]

    @functools.cached_property
    def _buckets(self) -> list[Any]:
        columns = (self.sums.keys.tolist(), self.sums.values.tolist())
        return [
            calibration_histogram.Bucket(key, *values) for key, values in zip(*columns, strict=True)
        ]


def derive(computation: Any, metrics: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The metrics that a `tfma.DerivedMetricComputation` derives from other metrics."""
    read = _closure_of_matrices(computation.result)
    histogram = metrics.get(read.get("input_metric_key"))
    thresholds = read.get("thresholds", ())
    is_ascending = len(thresholds) > 0 and thresholds[-1] >= 0 and np.all(np.diff(thresholds) >= 0)
    if isinstance(histogram, Histogram) and is_ascending:
        return {read["matrices_key"]: confusion_matrices(thresholds, histogram)}
    result: Mapping[Any, Any] = computation.result(metrics)
    return result


def _closure_of_matrices(result: Any) -> Mapping[str, Any]:
    """The closure of TFMA's function that derives matrices; empty for any other function."""
    if getattr(result, "__module__", None) != binary_confusion_matrices.__name__:
        return {}
    closure = zip(result.__code__.co_freevars, result.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in closure}


def confusion_matrices(thresholds: Sequence[float], histogram: Histogram) -> Any:
    """The same matrices as TFMA's `binary_confusion_matrices` for a histogram of 10,000 buckets.

    Args:
        thresholds: ascending, the last one not negative.
        histogram: histogram of predictions from 0 to 1.
    """
    # A bucket includes its start; a matrix counts only predictions above its threshold.
    edges = [t + _EPSILON if t != 0 else t for t in thresholds]
    is_first_extra = thresholds[0] >= 0
    edges = [*([-_EPSILON] if is_first_extra else []), *edges]
    edges += [1.0 + _EPSILON] if thresholds[-1] < 1.0 else []
    last = calibration_histogram.DEFAULT_NUM_BUCKETS + 1
    starts = (histogram.sums.keys - 1) / calibration_histogram.DEFAULT_NUM_BUCKETS
    starts[histogram.sums.keys == 0] = -np.inf
    starts[histogram.sums.keys >= last] = np.inf
    bins = np.maximum(np.searchsorted(edges, starts, side="right") - 1, 0)
    labels, _, examples = (
        np.bincount(bins, weights=column, minlength=len(edges))
        for column in histogram.sums.values.T
    )
    negatives = examples - labels
    skipped = int((is_first_extra or len(thresholds) == 1) and len(edges) > 1)
    kept = slice(skipped, skipped + len(thresholds))
    tp, fp = (np.cumsum(of[::-1])[::-1][kept].copy() for of in (labels, negatives))
    fn, tn = (np.cumsum([0.0, *of[:-1]])[kept] for of in (labels, negatives))
    for i in np.flatnonzero(np.asarray(thresholds) >= 1.0 + _EPSILON):
        tp[i] = fp[i] = 0.0
        # For the first threshold, these are the values that were just set, as in TFMA.
        fn[i], tn[i] = tp[0], fp[0]
    return binary_confusion_matrices.Matrices(
        thresholds, tp.tolist(), tn.tolist(), fp.tolist(), fn.tolist()
    )
