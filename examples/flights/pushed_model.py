"""Runs a pushed model as a client does: with serialized tf.Examples."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import typer

# Set before the import, so that TensorFlow does not log CPU instructions and missing GPUs.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROWS_PER_REQUEST = 4096


class PushedModel:
    """The newest version under a serving directory.

    Args:
        serving_dir: the directory that Pusher writes to, with one numbered directory per version.

    Raises:
        typer.BadParameter: the directory contains no version.
    """

    def __init__(self, serving_dir: Path) -> None:
        import tensorflow as tf

        versions = [int(path.name) for path in serving_dir.glob("*") if path.name.isdigit()]
        if not versions:
            raise typer.BadParameter(
                f"there is no pushed model under {serving_dir}; run "
                f"`prodml run pipelines/flights.py --config configs/local.yaml` first"
            )
        self.path = serving_dir / str(max(versions))
        self._model = tf.saved_model.load(str(self.path))
        self._signature = self._model.signatures["serving_default"]

    def probabilities(self, flights: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Returns the probability of each flight to arrive late."""
        import tensorflow as tf

        predicted = []
        for start in range(0, len(flights), ROWS_PER_REQUEST):
            request = serialized_examples(flights[start : start + ROWS_PER_REQUEST])
            outputs = self._signature(examples=tf.constant(request))
            predicted.append(outputs["probabilities"].numpy()[:, 0])
        return np.concatenate(predicted)


def serialized_examples(flights: pd.DataFrame) -> list[bytes]:
    """Returns one tf.Example per row; a missing value is a feature without values."""
    import pyarrow as pa

    from prodml.data.columns import to_example_shape
    from prodml.serving.clients import signature_inputs

    rows = pa.RecordBatch.from_pandas(flights, preserve_index=False)
    return signature_inputs.serialized_examples(to_example_shape(rows))
