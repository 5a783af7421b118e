"""export_model with Keras 2 and Keras 3: the exported model can be called in a session."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from prodml.components import export_model
from prodml.serving.models.saved_model import SavedModel

SPEC = {
    "distance": tf.io.FixedLenFeature([1], tf.float32),
    "hour": tf.io.FixedLenFeature([1], tf.float32),
}
EITHER = pytest.mark.parametrize("package", [tf_keras, keras], ids=["tf_keras", "keras"])


def model_of(package: Any) -> Any:
    inputs = {name: package.Input([1], name=name) for name in SPEC}
    joined = package.layers.Concatenate()(list(inputs.values()))
    return package.Model(inputs, package.layers.Dense(1)(joined))


@EITHER
def test_the_exported_model_predicts_as_in_training(package: Any, tmp_path: Path) -> None:
    model = model_of(package)
    export_model(model, str(tmp_path / "model"), feature_spec=SPEC)
    rows = [(2.0, 5.0), (7.0, 23.0)]
    features = {
        name: np.array([[row[place]] for row in rows], np.float32)
        for place, name in enumerate(SPEC)
    }
    answered = ask(tmp_path / "model", "serving_default", [example(*row) for row in rows])
    np.testing.assert_allclose(answered, np.asarray(model(features)), rtol=1e-6)


@EITHER
def test_the_model_gets_the_transformed_features(package: Any, tmp_path: Path) -> None:
    model = model_of(package)

    def doubled(features: dict[str, Any]) -> dict[str, Any]:
        return {**{name: 2.0 * value for name, value in features.items()}, "label": 0.0}

    export_model(model, str(tmp_path / "model"), feature_spec=SPEC, transform=doubled)
    answered = ask(tmp_path / "model", "serving_default", [example(1.0, 3.0)])
    expected = model({"distance": np.array([[2.0]]), "hour": np.array([[6.0]])})
    np.testing.assert_allclose(answered, np.asarray(expected), rtol=1e-6)


@EITHER
def test_a_custom_signature_can_use_a_vocabulary_file(package: Any, tmp_path: Path) -> None:
    vocabulary = tmp_path / "airports"
    vocabulary.write_text("EWR\nJFK\n")
    table = tf.lookup.StaticVocabularyTable(
        tf.lookup.TextFileInitializer(
            str(vocabulary),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        num_oov_buckets=1,
    )
    model = package.Sequential([package.layers.Embedding(3, 2)])
    model(np.array([[0]]))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="airport")])
    def embed(airport: tf.Tensor) -> Any:
        return {"embedded": model(table.lookup(airport)[:, tf.newaxis])}

    directory = tmp_path / "model"
    export_model(model, str(directory), signatures={"serving_default": embed}, resources=[table])
    vocabulary.unlink()
    answered = ask(directory, "serving_default", [b"JFK"])
    np.testing.assert_allclose(answered, np.asarray(model(np.array([[1]]))))


@EITHER
def test_the_files_are_the_same_each_time(package: Any, tmp_path: Path) -> None:
    model = model_of(package)
    for name in ("one", "two"):
        export_model(model, str(tmp_path / name), feature_spec=SPEC)
    one, two = (tmp_path / name / "variables" / "variables.index" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_a_model_without_any_signature_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs a signature; .*feature_spec="):
        export_model(model_of(keras), str(tmp_path / "model"))


def test_a_signature_without_fixed_inputs_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'serve' has no fixed inputs; .*input_signature"):
        export_model(keras, str(tmp_path), signatures={"serve": tf.function(lambda x: x)})


def example(distance: float, hour: float) -> bytes:
    made = tf.train.Example()
    made.features.feature["distance"].float_list.value.append(distance)
    made.features.feature["hour"].float_list.value.append(hour)
    serialized: bytes = made.SerializeToString()
    return serialized


def ask(directory: Path, signature: str, values: list[bytes]) -> Any:
    model = SavedModel(str(directory))
    asked = model.signatures[signature]
    [given], [answer] = asked.inputs.values(), asked.outputs.values()
    [found] = model.run({given.name: np.array(values, object)}, [answer.name])
    return found
