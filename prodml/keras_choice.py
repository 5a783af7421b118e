"""Chooses the package that `tf.keras` refers to: `tf_keras` (Keras 2) or `keras` (Keras 3).

TensorFlow 2.16 reads TF_USE_LEGACY_KERAS twice: on its own import, for `from tensorflow.keras
import ...`, and on the first use of the attribute `tf.keras`. TensorFlow Transform sets the
variable in between, and TFMA uses the attribute before that. So without a choice, the order of
imports decides, and the two spellings can refer to different packages. `import keras` and
`import tf_keras` do not depend on the variable.

The choice applies to the whole process and must be made before TensorFlow is imported. This module
imports no large library, so it costs no start-up time.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import PurePath
from typing import Final, Literal

KerasName = Literal["tf_keras", "keras"]

DEFAULT: Final[KerasName] = "tf_keras"
"""TFX's module files are written for Keras 2, and TensorFlow Transform supports only Keras 2."""

VARIABLE: Final = "TF_USE_LEGACY_KERAS"

_VALUES: Final[dict[KerasName, str]] = {"tf_keras": "1", "keras": "0"}
_MEANS_TF_KERAS: Final = ("true", "True", "1")


def choose(keras: KerasName) -> None:
    """Makes `tf.keras` refer to a package; has no effect once TensorFlow is imported."""
    if "tensorflow" not in sys.modules:
        os.environ[VARIABLE] = _VALUES[keras]


def is_available(keras: KerasName) -> bool:
    """Whether every spelling of `tf.keras` refers to this package, now or once imported."""
    if "tensorflow" not in sys.modules:
        return from_environment() == keras
    return _in_force() == {keras}


def in_force() -> KerasName | None:
    """The package of `tf.keras`; None if TensorFlow is not imported, or the spellings differ."""
    found = _in_force()
    return next(iter(found)) if len(found) == 1 else None


def from_environment() -> KerasName | None:
    """The package that the environment variable selects; None if the variable is not set."""
    value = os.environ.get(VARIABLE)
    if value is None:
        return None
    return "tf_keras" if value in _MEANS_TF_KERAS else "keras"


def _in_force() -> frozenset[KerasName]:
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return frozenset()
    # Using the attribute binds it, so later changes of the variable have no effect.
    is_tf_keras = tensorflow.keras.Model.__module__.partition(".")[0] == "tf_keras"
    spec = importlib.util.find_spec("tensorflow.keras")
    imports_tf_keras = bool(spec and spec.origin and "tf_keras" in PurePath(spec.origin).parts)
    return frozenset("tf_keras" if each else "keras" for each in (is_tf_keras, imports_tf_keras))
