"""A block of code after which the settings of TensorFlow and Keras are restored."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf
import tf_keras


@contextlib.contextmanager
def settings_restored() -> Iterator[None]:
    """Restores the settings of the process that a `run_fn` may change, such as half precision.

    Otherwise the next Trainer of the process would train with them, and its result would depend on
    whether this Trainer ran or was cached.
    """
    before = [(write, read()) for read, write in _SETTINGS]
    try:
        yield
    finally:
        for write, value in before:
            write(value)


_Setting = tuple[Callable[[], Any], Callable[[Any], Any]]

_SETTINGS: tuple[_Setting, ...] = (
    (keras.config.floatx, keras.config.set_floatx),
    (keras.config.epsilon, keras.config.set_epsilon),
    (keras.config.image_data_format, keras.config.set_image_data_format),
    (keras.config.dtype_policy, keras.config.set_dtype_policy),
    (tf_keras.backend.floatx, tf_keras.backend.set_floatx),
    (tf_keras.backend.epsilon, tf_keras.backend.set_epsilon),
    (tf_keras.backend.image_data_format, tf_keras.backend.set_image_data_format),
    (tf_keras.mixed_precision.global_policy, tf_keras.mixed_precision.set_global_policy),
    (tf.config.functions_run_eagerly, tf.config.run_functions_eagerly),
    (tf.config.optimizer.get_jit, tf.config.optimizer.set_jit),
)
