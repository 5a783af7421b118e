"""The check of exported models in a session: faults are errors, unchecked signatures are notes."""

from pathlib import Path
from typing import Any

import keras
import pyarrow as pa
import pytest
import tensorflow as tf
import tf_keras

from prodml.components.trainer.servable import check_servable
from prodml.errors import UserCodeError
from prodml.serving.models.saved_model import SavedModel

ROWS = pa.RecordBatch.from_pydict(
    {
        "distance": pa.array([[1400.0], [200.0]], pa.large_list(pa.float32())),
        "airport": pa.array([[b"EWR"], [b"JFK"]], pa.large_list(pa.large_binary())),
    }
)
DISTANCE = {"distance": tf.io.FixedLenFeature([1], tf.float32)}
RAW = {"miles_as_text": tf.io.FixedLenFeature([1], tf.string)}
EXAMPLES = tf.TensorSpec([None], tf.string, name="examples")


class Served(tf.Module):
    """A model whose signature is a function of serialized tf.Examples."""

    def __init__(self, answer: Any, model: Any = None) -> None:
        super().__init__()
        self.model = model
        self.serve = tf.function(answer, input_signature=[EXAMPLES], autograph=False)


def saved(directory: Path, **signatures: Any) -> str:
    module = tf.Module()
    module.used = list(signatures.values())
    functions = {name: served.serve for name, served in signatures.items()}
    tf.saved_model.save(module, str(directory), signatures=functions)
    return str(directory)


def parsing(spec: Any) -> Served:
    return Served(
        lambda examples: {"parsed": tf.io.parse_example(examples, spec)[next(iter(spec))]}
    )


def of_model(package: Any) -> Served:
    model = package.Sequential([package.layers.Dense(1)])
    model(tf.ones([1, 1]))

    def answer(examples: Any) -> Any:
        return {"scores": model(tf.io.parse_example(examples, DISTANCE)["distance"])}

    return Served(answer, model)


def test_a_model_of_keras_2_passes(tmp_path: Path) -> None:
    assert check(saved(tmp_path, serving_default=of_model(tf_keras))) == []


def test_a_keras_3_model_saved_like_a_keras_2_model_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserCodeError) as refused:
        check(saved(tmp_path, serving_default=of_model(keras)))
    assert "signature 'serving_default': Could not find variable" in str(refused.value)
    assert "export it with prodml.components.export_model" in str(refused.value)


def test_the_broken_one_of_several_signatures_is_named(tmp_path: Path) -> None:
    directory = saved(tmp_path, good=parsing(DISTANCE), broken=of_model(keras))
    with pytest.raises(UserCodeError, match="signature 'broken': Could not find") as refused:
        check(directory)
    assert "'good'" not in str(refused.value)


def test_a_failure_on_raw_rows_is_a_fault_of_the_model(tmp_path: Path) -> None:
    def refusing(examples: Any) -> Any:
        distance = tf.io.parse_example(examples, DISTANCE)["distance"]
        with tf.control_dependencies([tf.debugging.assert_less(distance, 10.0)]):
            return {"scores": tf.identity(distance)}

    directory = saved(tmp_path, serving_default=Served(refusing))
    with pytest.raises(UserCodeError, match="'serving_default': INVALID_ARGUMENT"):
        check(directory)
    [note] = check(directory, are_raw=False)
    assert "signature 'serving_default' was not checked" in note


def test_a_signature_with_other_columns_gets_a_request_of_empty_values(
    tmp_path: Path,
) -> None:
    assert check(saved(tmp_path, serving_default=parsing(RAW))) == []


def test_a_signature_that_rejects_empty_values_gets_a_note(tmp_path: Path) -> None:
    def picky(examples: Any) -> Any:
        text = tf.io.parse_example(examples, RAW)["miles_as_text"]
        return {"miles": tf.strings.to_number(text)}

    [note] = check(saved(tmp_path, serving_default=Served(picky)))
    assert "signature 'serving_default' was not checked" in note
    assert "use InfraValidator to check it with raw rows" in note


def test_a_missing_variable_is_found_even_if_empty_values_do_not_reach_it(
    tmp_path: Path,
) -> None:
    model = keras.Sequential([keras.layers.Dense(1)])
    model(tf.ones([1, 1]))

    def picky(examples: Any) -> Any:
        text = tf.io.parse_example(examples, RAW)["miles_as_text"]
        with tf.control_dependencies([tf.debugging.assert_none_equal(text, "")]):
            return {"scores": model(tf.strings.to_number(text))}

    with pytest.raises(UserCodeError, match="'serving_default': Could not find variable"):
        check(saved(tmp_path, serving_default=Served(picky, model)))


def test_a_signature_with_python_code_is_rejected(tmp_path: Path) -> None:
    def pythonic(examples: Any) -> Any:
        return {"scores": tf.numpy_function(lambda given: given, [examples], tf.string)}

    with pytest.raises(UserCodeError, match=r"'serving_default' runs Python code .*PyFunc"):
        check(saved(tmp_path, serving_default=Served(pythonic)))


def test_a_string_input_that_is_not_an_example_gets_strings(tmp_path: Path) -> None:
    module = tf.Module()
    module.shout = tf.function(
        lambda airport: {"loud": tf.strings.upper(airport)},
        input_signature=[tf.TensorSpec([None], tf.string, name="airport")],
    )
    tf.saved_model.save(module, str(tmp_path), signatures=module.shout)
    assert check(str(tmp_path)) == []


def test_columns_of_the_examples_are_sent(tmp_path: Path) -> None:
    def checked(distance: Any) -> Any:
        with tf.control_dependencies([tf.debugging.assert_greater(distance, 100.0)]):
            return {"least": tf.identity(distance)}

    module = tf.Module()
    module.serve = tf.function(
        checked, input_signature=[tf.TensorSpec([None, 1], tf.float32, name="distance")]
    )
    tf.saved_model.save(module, str(tmp_path), signatures=module.serve)
    assert check(str(tmp_path)) == []


def test_a_signature_for_one_row_gets_one_row(tmp_path: Path) -> None:
    module = tf.Module()
    module.serve = tf.function(
        lambda distance: {"doubled": 2.0 * distance},
        input_signature=[tf.TensorSpec([1, 1], tf.float32, name="distance")],
    )
    tf.saved_model.save(module, str(tmp_path), signatures=module.serve)
    assert check(str(tmp_path)) == []


def test_a_tensorflow_1_model_is_checked(tmp_path: Path) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        distance = tf.compat.v1.placeholder(tf.float32, [None, 1], "distance")
        weight = tf.compat.v1.get_variable("weight", [1], use_resource=True)
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.saved_model.simple_save(
            session, str(tmp_path / "model"), {"distance": distance}, {"y": distance * weight}
        )
    assert check(str(tmp_path / "model")) == []


def test_a_model_without_signatures_is_rejected(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path))
    with pytest.raises(UserCodeError, match="has no signature"):
        check(str(tmp_path))


def test_a_model_that_cannot_be_loaded_is_rejected(tmp_path: Path) -> None:
    directory = saved(tmp_path, serving_default=of_model(tf_keras))
    for part in (tmp_path / "variables").iterdir():
        part.unlink()
    with pytest.raises(UserCodeError, match="exported cannot be loaded by a model server"):
        check(directory)


def test_a_sparse_output_of_tensorflow_1_is_checked_and_a_sparse_input_gets_a_note(
    tmp_path: Path,
) -> None:
    info = tf.compat.v1.saved_model.build_tensor_info
    signature = tf.compat.v1.saved_model.build_signature_def
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        examples = tf.compat.v1.placeholder(tf.string, [None], "examples")
        parsed = tf.io.parse_example(examples, {"airport": tf.io.VarLenFeature(tf.string)})
        sparse = tf.compat.v1.sparse_placeholder(tf.float32, name="sparse")
        builder = tf.compat.v1.saved_model.Builder(str(tmp_path / "model"))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "gives": signature({"examples": info(examples)}, {"a": info(parsed["airport"])}),
                "takes": signature({"s": info(sparse)}, {"sum": info(sparse.values + 1.0)}),
            },
        )
        builder.save()
    [note] = check(str(tmp_path / "model"))
    assert note == "signature 'takes' was not checked: its input 's' is a sparse tensor"


def test_variables_are_named_as_in_a_server(tmp_path: Path) -> None:
    model = SavedModel(saved(tmp_path, serving_default=of_model(keras)))
    fetches = [info.name for info in model.signatures["serving_default"].outputs.values()]
    unset = model.uninitialized_variables(fetches)
    assert [name.rpartition("/")[2] for name in unset] == ["bias", "kernel"]


def check(directory: str, are_raw: bool = True) -> list[str]:
    return check_servable(directory, ROWS, are_raw=are_raw)
