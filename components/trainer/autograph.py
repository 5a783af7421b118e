"""Prevents AutoGraph from converting the code of Keras 2 and TensorFlow Transform."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tensorflow.python.autograph.core import config, config_lib

_PACKAGES = ("tf_keras", "tensorflow_transform")


@contextlib.contextmanager
def libraries_unconverted() -> Iterator[None]:
    """Makes AutoGraph call both packages unconverted; it still converts the user's functions.

    The rules of TensorFlow 2.16 exempt `keras`, which Keras 2 was called before it became
    `tf_keras`, and `tensorflow`, which does not contain TensorFlow Transform. So AutoGraph parses,
    rewrites and compiles each traced function of both: 19 of the 34 s of a wide and deep model's
    Trainer. Neither needs the conversion: Keras 2 ran unconverted under its old name, and
    TensorFlow Transform must build the same graph with `force_tf_compat_v1`, without AutoGraph.
    """
    rules = config.CONVERSION_RULES
    config.CONVERSION_RULES = (*map(config_lib.DoNotConvert, _PACKAGES), *rules)
    try:
        yield
    finally:
        config.CONVERSION_RULES = rules
