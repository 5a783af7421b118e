"""How much of the examples a training has drawn, and so how far it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from prodml.dsl.executor import Reporter

_SECONDS_BETWEEN_REPORTS = 0.25


class Drawn:
    """Rows and batches drawn from some splits.

    Args:
        splits: the splits that are watched.
        total: batches that will be drawn, where it is known.
        reporter: is told of batches as steps; nobody is where it is None.
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
        """Counts one batch; datasets call it from threads of TensorFlow."""
        with self._lock:
            self.rows += rows
            self._batches += 1
            # A dataset is prefetched, and may be drawn for other things than steps.
            done = min(self._batches, self._total) if self._total else self._batches
            now = time.monotonic()
            is_due = now - self._reported >= _SECONDS_BETWEEN_REPORTS
            if self._reporter is None or not (is_due or self._batches == self._total):
                return
            self._reported = now
        self._reporter.progress(done, self._total, "steps")

    def counting(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """The same dataset of batches; each is counted when it is drawn."""

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
