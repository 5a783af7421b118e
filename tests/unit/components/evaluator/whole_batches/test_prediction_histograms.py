"""Confusion matrices of a histogram equal those of TFMA exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prodml.components.evaluator.tfma import binary_confusion_matrices, calibration_histogram
from prodml.components.evaluator.whole_batches.prediction_histograms import (
    Histogram,
    confusion_matrices,
    derive,
)
from prodml.components.evaluator.whole_batches.sums_by_key import Sums

_weights = st.floats(0, 10, width=32)
_buckets = st.dictionaries(
    st.one_of(st.integers(0, 10001), st.sampled_from([0, 1, 5000, 5001, 10000, 10001])),
    st.tuples(_weights, _weights, _weights),
    max_size=20,
)
_thresholds = st.one_of(
    st.lists(st.floats(0, 1.1), min_size=1, max_size=6).map(sorted),
    st.sampled_from([[-1e-7, 0.5, 1.0 + 1e-7], [0.0], [0.0, 0.5, 1.0], [0.5], [-0.5, 0.5]]),
    st.integers(2, 10000).map(binary_confusion_matrices._interpolated_thresholds),
)


@example(buckets={0: (0.0, 0.0, 0.0), 10001: (0.0, 0.0, 1.0)}, thresholds=[1.0625])
@example(buckets={0: (1.0, 0.0, 1.0), 7: (0.0, 0.0, 1.0)}, thresholds=[0.5, 1.0625, 1.09])
@given(buckets=_buckets, thresholds=_thresholds)
def test_matrices_equal_those_of_tfma_exactly(
    buckets: dict[int, tuple[float, ...]], thresholds: list[float]
) -> None:
    computations = binary_confusion_matrices.binary_confusion_matrices(
        thresholds=thresholds, use_histogram=True
    )
    derived, key = computations[-1], computations[-1].keys[0]
    read = computations[0].keys[0]
    expected = derived.result({read: list(_histogram(buckets))})[key]
    seen = derive(derived, {read: _histogram(buckets)})[key]
    assert seen == expected
    assert confusion_matrices(expected.thresholds, _histogram(buckets)) == expected


def test_a_histogram_equals_tfmas_list_of_buckets() -> None:
    histogram = _histogram({3: (1.0, 2.0, 3.0), 1: (4.0, 5.0, 6.0)})
    expected = [
        calibration_histogram.Bucket(1, 4.0, 5.0, 6.0),
        calibration_histogram.Bucket(3, 1.0, 2.0, 3.0),
    ]
    assert list(histogram) == expected
    assert len(histogram) == 2


@pytest.mark.parametrize("thresholds", [[0.7, 0.2], [float("-inf")]])
def test_unsupported_thresholds_are_passed_to_tfma(thresholds: list[float]) -> None:
    computations = binary_confusion_matrices.binary_confusion_matrices(
        thresholds=thresholds, use_histogram=True
    )
    derived, read = computations[-1], computations[0].keys[0]
    histogram = _histogram({1: (1.0, 0.5, 2.0), 2: (0.0, 0.7, 1.0)})
    assert derive(derived, {read: histogram}) == derived.result({read: list(histogram)})


def _histogram(buckets: dict[int, tuple[float, ...]]) -> Any:
    keys = sorted(buckets)
    values = np.array([buckets[key] for key in keys], float).reshape(-1, 3)
    return Histogram(Sums(np.array(keys, np.int64), values))
