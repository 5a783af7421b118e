"""A block of code whose random numbers, and so whose weights, are the same every time."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow.python.framework import config as tensorflow_config


@contextlib.contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seeds Python, NumPy, TensorFlow and both Keras, and makes operations deterministic.

    What runs after the block in the same process finds the generators as they were: with
    deterministic operations and no seed, TensorFlow refuses every random operation.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    # Both number layers and seed generators through the life of a process: without this, the
    # second model of a process differs from the first. And a module may import either of them,
    # whatever `tf.keras` means.
    keras.utils.clear_session(free_memory=False)
    tf_keras.backend.clear_session()
    # Each also seeds Python, NumPy and TensorFlow.
    keras.utils.set_random_seed(seed)
    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        # TensorFlow has no public way back.
        tensorflow_config.disable_op_determinism()
        tf.random.set_seed(None)
        random.setstate(python_state)
        np.random.set_state(numpy_state)
