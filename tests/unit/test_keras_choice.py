"""In new processes, the choice decides what `tf.keras` refers to, not the order of imports."""

import json
import os
import subprocess
import sys

import pytest

from prodml import keras_choice
from prodml.keras_choice import KerasName

SPELLINGS = """
import json, sys
import tensorflow as tf
from prodml import keras_choice
in_force = keras_choice.in_force()
# The import statement replaces the attribute with its package.
attribute = tf.keras.Model.__module__.split(".")[0]
from tensorflow.keras import layers
from tensorflow import keras
found = {
    "attribute": attribute,
    "import": layers.Dense.__module__.split(".")[0],
    "from": keras.Model.__module__.split(".")[0],
    "in_force": in_force,
}
print(json.dumps(found))
"""
ORDERS = {
    "TensorFlow first": "import tensorflow, tensorflow_transform",
    "Transform first": "import tensorflow_transform",
    "TFMA first": (
        "import prodml.components.evaluator.tfma, tensorflow_transform; "
        "import tensorflow_data_validation"
    ),
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS.keys())
@pytest.mark.parametrize("choice", ["tf_keras", "keras"])
def test_every_spelling_refers_to_the_chosen_package_in_every_order(
    choice: str, order: str
) -> None:
    found = spellings(f"from prodml import keras_choice; keras_choice.choose({choice!r})", order)
    assert set(found.values()) == {choice}


def test_without_a_choice_two_spellings_differ() -> None:
    found = spellings("", ORDERS["TensorFlow first"])
    assert (found["attribute"], found["import"]) == ("tf_keras", "keras")
    assert found["in_force"] is None


def test_a_choice_after_tensorflow_was_imported_is_not_available() -> None:
    code = (
        "from prodml import keras_choice as k; k.choose('keras'); import tensorflow; "
        "k.choose('tf_keras'); print(k.is_available('keras'), k.is_available('tf_keras'))"
    )
    assert run(code).split() == ["True", "False"]


@pytest.mark.parametrize(
    ("value", "selected"),
    [("1", "tf_keras"), ("True", "tf_keras"), ("0", "keras"), ("", "keras"), (None, None)],
)
def test_the_variable_is_read_as_tensorflow_reads_it(
    value: str | None, selected: KerasName | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(keras_choice.VARIABLE)
    if value is not None:
        monkeypatch.setenv(keras_choice.VARIABLE, value)
    assert keras_choice.from_environment() == selected


def spellings(*code: str) -> dict[str, str | None]:
    found: dict[str, str | None] = json.loads(run("\n".join([*code, SPELLINGS])).splitlines()[-1])
    return found


def run(code: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != keras_choice.VARIABLE}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout
