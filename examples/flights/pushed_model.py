"""A pushed model, asked as a client asks it: with serialized tf.Examples."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import typer

# TensorFlow speaks of its CPU instructions and missing GPUs unless told not to, before import.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROWS_PER_REQUEST = 4096


class PushedModel:
    """The newest version under a serving directory.

    Args:
        serving_dir: the directory that Pusher writes to: one numbered directory a version.

    Raises:
        typer.BadParameter: nothing has been pushed there.
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
        """How likely each of the flights is to arrive late."""
        import tensorflow as tf

        answers = []
        for start in range(0, len(flights), ROWS_PER_REQUEST):
            request = serialized_examples(flights[start : start + ROWS_PER_REQUEST])
            answer = self._signature(examples=tf.constant(request))
            answers.append(answer["probabilities"].numpy()[:, 0])
        return np.concatenate(answers)


def serialized_examples(flights: pd.DataFrame) -> list[bytes]:
    """One tf.Example a row; a missing value is a feature without one."""
    import pyarrow as pa

    from prodml.data.columns import to_example_shape
    from prodml.serving.clients import signature_inputs

    rows = pa.RecordBatch.from_pandas(flights, preserve_index=False)
    return signature_inputs.serialized_examples(to_example_shape(rows))
