"""Keeps AutoGraph from rewriting the code of Keras 2 and of TensorFlow Transform."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tensorflow.python.autograph.core import config, config_lib

_PACKAGES = ("tf_keras", "tensorflow_transform")


@contextlib.contextmanager
def libraries_as_written() -> Iterator[None]:
    """AutoGraph calls both packages as they are; a user's own functions it converts as ever.

    The rules of TensorFlow 2.16 name `keras`, where Keras 2 was until it became `tf_keras`, and
    `tensorflow`, where TensorFlow Transform never was. So every function of theirs that is traced
    was parsed, rewritten and compiled first: 19 of the 34 s of a wide and deep model's Trainer.
    Neither needs it: Keras 2 ran unconverted under its old name, and TensorFlow Transform must
    build the same graph with `force_tf_compat_v1`, where there is no AutoGraph.
    """
    rules = config.CONVERSION_RULES
    config.CONVERSION_RULES = (*map(config_lib.DoNotConvert, _PACKAGES), *rules)
    try:
        yield
    finally:
        config.CONVERSION_RULES = rules
