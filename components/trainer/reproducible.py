"""A block of code with reproducible random numbers, and so reproducible weights."""

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
    """Seeds Python, NumPy, TensorFlow, Keras 2 and Keras 3, and makes operations deterministic.

    The state of the generators is restored after the block. Deterministic operations are disabled
    again, too, because without a seed they make every random operation of TensorFlow fail.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    # Keras 2 and Keras 3 number layers and seed generators per process: unless they are reset, the
    # second model of a process differs from the first. Both are reset because a module can import
    # either of them, regardless of `tf.keras`.
    keras.utils.clear_session(free_memory=False)
    tf_keras.backend.clear_session()
    # Each call also seeds Python, NumPy and TensorFlow.
    keras.utils.set_random_seed(seed)
    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        # TensorFlow has no public function to disable it.
        tensorflow_config.disable_op_determinism()
        tf.random.set_seed(None)
        random.setstate(python_state)
        np.random.set_state(numpy_state)
