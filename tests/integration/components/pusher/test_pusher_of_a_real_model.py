"""TensorFlow can load a pushed model, which predicts as the original."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from support.late_flights import PARSED, build, export
from support.running import execute

from prodml.artifacts import Model, ModelBlessing
from prodml.components.pusher.component import PushDestination, Pusher
from prodml.dsl.channel import Channel


def test_the_pushed_version_and_the_artifact_predict_as_the_model(tmp_path: Path) -> None:
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


def test_a_model_that_reads_files_is_rejected_if_a_clean_scan_is_required(
    tmp_path: Path,
) -> None:
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])  # type: ignore[untyped-decorator]
    def read(path: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"content": tf.io.read_file(path)}

    module = tf.Module()
    module.read = read
    reading, clean = (Model(uri=str(tmp_path / name)) for name in ("reading", "clean"))
    tf.saved_model.save(module, reading.serving_model_dir, signatures=read)
    export(build(), clean.serving_model_dir)
    pusher = Pusher(
        model=Channel(type=Model),
        require_clean_scan=True,
        push_destination=PushDestination(
            PushDestination.Filesystem(base_directory=str(tmp_path / "serving"))
        ),
    )
    context = execute(pusher, {"model": reading}, tmp_path)
    (note,) = context.notes
    assert note.startswith(
        "not pushed: the model has operations that access files, the network or Python: "
        "ReadFile (reads files); to locate them: prodml scan "
    )
    assert context.outputs["pushed_model"].custom_properties["pushed"] == 0
    assert not (tmp_path / "serving").exists()
    context = execute(pusher, {"model": clean}, tmp_path)
    assert context.outputs["pushed_model"].custom_properties["pushed"] == 1


def _score(directory: str) -> list[float]:
    values = {"distance": 1400.0, "hour": 18, "origin": "JFK"}
    assert values.keys() == PARSED.keys()
    features = {n: tf.constant([[v]], PARSED[n].dtype) for n, v in values.items()}
    served = tf.saved_model.load(directory).signatures["serving_raw"]
    return np.asarray(served(**features)["outputs"]).tolist()
