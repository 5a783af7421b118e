"""What Pusher leaves is a model that TensorFlow loads and that answers as before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from late_flights import PARSED, build, export
from running import execute

from prodml.artifacts import Model, ModelBlessing
from prodml.components.pusher.component import PushDestination, Pusher
from prodml.dsl.channel import Channel


def test_the_pushed_version_and_the_artifact_answer_as_the_model_did(tmp_path: Path) -> None:
    export(build(), str(tmp_path / "model" / "Format-Serving"))
    model = Model(uri=str(tmp_path / "model"))
    pusher = Pusher(
        model=Channel(type=Model),
        model_blessing=Channel(type=ModelBlessing),
        push_destination=PushDestination(
            PushDestination.Filesystem(base_directory=str(tmp_path / "serving"))
        ),
    )
    blessing = ModelBlessing(custom_properties={"blessed": 1})
    context = execute(pusher, {"model": model, "model_blessing": blessing}, tmp_path)
    pushed = context.outputs["pushed_model"]
    expected = _score(model.serving_model_dir)
    assert _score(str(pushed.custom_properties["pushed_destination"])) == expected
    assert _score(pushed.uri) == expected


def _score(directory: str) -> list[float]:
    values = {"distance": 1400.0, "hour": 18, "origin": "JFK"}
    assert values.keys() == PARSED.keys()
    features = {n: tf.constant([[v]], PARSED[n].dtype) for n, v in values.items()}
    served = tf.saved_model.load(directory).signatures["serving_raw"]
    return np.asarray(served(**features)["outputs"]).tolist()
