"""TFMA is imported completely, with or without notebook widgets."""

import subprocess
import sys

import pytest

_LOADS = "from prodml.components.evaluator.tfma import model_eval_lib as m; m.load_eval_result"


@pytest.mark.parametrize(
    "code",
    [
        f"{_LOADS}; import tensorflow_model_analysis as tfma; tfma.load_eval_result",
        f"import tensorflow_model_analysis; {_LOADS}",
    ],
    ids=["not imported before", "imported half-way before"],
)
def test_results_can_be_loaded(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
