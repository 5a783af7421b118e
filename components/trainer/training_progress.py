"""Counts the rows and batches that a training reads, and reports its progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from prodml.dsl.executor import Reporter

_SECONDS_BETWEEN_REPORTS = 0.25


class TrainingProgress:
    """Counts the rows and batches that are read from some splits.

    Args:
        splits: the splits to count.
        total: total number of batches, or None if unknown.
        reporter: receives the batches as steps, or None.
    """

    def __init__(
        self, splits: Sequence[str], total: int | None = None, reporter: Reporter | None = None
    ) -> None:
        self.splits = splits
        self.rows = 0
        self._total = total
        self._reporter = reporter
        self._batches = 0
        self._reported = 0.0
        self._lock = threading.Lock()

    def add(self, rows: int) -> None:
        """Counts one batch; datasets call this method from TensorFlow's threads."""
        with self._lock:
            self.rows += rows
            self._batches += 1
            # Batches can exceed steps: datasets prefetch, and can be read for other purposes.
            done = min(self._batches, self._total) if self._total else self._batches
            now = time.monotonic()
            is_due = now - self._reported >= _SECONDS_BETWEEN_REPORTS
            if self._reporter is None or not (is_due or self._batches == self._total):
                return
            self._reported = now
        self._reporter.progress(done, self._total, "steps")

    def counting(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Returns the dataset, with each batch counted when it is read."""

        def add(rows: Any) -> Any:
            self.add(int(rows))
            return rows

        def count(*batch: Any) -> Any:
            tf.numpy_function(add, [_rows(tf.nest.flatten(batch)[0])], tf.int64)
            return batch if len(batch) > 1 else batch[0]

        return dataset.map(count)


def _rows(tensor: Any) -> Any:
    if isinstance(tensor, tf.RaggedTensor):
        return tf.cast(tensor.nrows(), tf.int64)
    return tf.shape(tensor, out_type=tf.int64)[0]
