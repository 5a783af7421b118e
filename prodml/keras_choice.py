"""Which Keras `tf.keras` means in this process: `tf_keras` (Keras 2) or `keras` (Keras 3).

TensorFlow 2.16 reads TF_USE_LEGACY_KERAS twice: on its own import, for `from tensorflow.keras
import ...`, and on the first use of the attribute `tf.keras`. TensorFlow Transform sets the
variable in between, and TFMA uses the attribute before that. So without a choice the order of
imports decides, and the two spellings can mean different packages. `import keras` and
`import tf_keras` always mean what they say.

The choice belongs to the process and must be made before TensorFlow is imported. This module
imports nothing heavy, so that making it costs nothing.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import PurePath
from typing import Final, Literal

KerasName = Literal["tf_keras", "keras"]

DEFAULT: Final[KerasName] = "tf_keras"
"""Module files of TFX are written for it, and TensorFlow Transform supports no other."""

VARIABLE: Final = "TF_USE_LEGACY_KERAS"

_VALUES: Final[dict[KerasName, str]] = {"tf_keras": "1", "keras": "0"}
_MEANS_TF_KERAS: Final = ("true", "True", "1")


def choose(keras: KerasName) -> None:
    """Makes `tf.keras` mean a package; has no effect once TensorFlow is imported."""
    if "tensorflow" not in sys.modules:
        os.environ[VARIABLE] = _VALUES[keras]


def is_available(keras: KerasName) -> bool:
    """Whether every spelling of `tf.keras` means this package, or will on TensorFlow's import."""
    if "tensorflow" not in sys.modules:
        return asked_by_environment() == keras
    return _in_force() == {keras}


def in_force() -> KerasName | None:
    """What `tf.keras` means; None if TensorFlow is not imported, or two spellings differ."""
    found = _in_force()
    return next(iter(found)) if len(found) == 1 else None


def asked_by_environment() -> KerasName | None:
    """What the environment variable asks for; None if it is not set."""
    value = os.environ.get(VARIABLE)
    if value is None:
        return None
    return "tf_keras" if value in _MEANS_TF_KERAS else "keras"


def _in_force() -> frozenset[KerasName]:
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return frozenset()
    # Using the attribute binds it: nothing that sets the variable later can change it.
    is_tf_keras = tensorflow.keras.Model.__module__.partition(".")[0] == "tf_keras"
    spec = importlib.util.find_spec("tensorflow.keras")
    imports_tf_keras = bool(spec and spec.origin and "tf_keras" in PurePath(spec.origin).parts)
    return frozenset("tf_keras" if each else "keras" for each in (is_tf_keras, imports_tf_keras))
