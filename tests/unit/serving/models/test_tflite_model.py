import concurrent.futures
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from flatbuffers import flexbuffers
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from prodml.errors import ServingError
from prodml.serving.models.tflite_model import TfLiteModel, load_tflite_model


class _Module(tf.Module):
    def __init__(self) -> None:
        self.weights = tf.Variable([[1.0], [2.0], [3.0]])
        self.kernel = tf.Variable(tf.ones([3, 3, 2, 4]))

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 3], tf.float32, "x"),
            tf.TensorSpec([None, 1], tf.float32, "bias"),
        ]
    )
    def linear(self, x, bias):
        return {"y": x @ self.weights + bias}

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, "x")])
    def two_outputs(self, x):
        return {"a": x + 1.0, "b": x * 2.0}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")])
    def last_text(self, texts):
        return {"text": tf.gather(texts, tf.size(texts) - 1 + tf.zeros([1], tf.int32))}

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 2], tf.float32, "image")])
    def convolved(self, image):
        return {"y": tf.nn.conv2d(image, self.kernel, 2, "SAME")}

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 1], tf.float32, "image")])
    def gray(self, image):
        return {"y": tf.nn.conv2d(image, self.kernel[:, :, :1], 2, "SAME")}

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, "x")])
    def column(self, x):
        return {"y": x / 2.0 + 2.0}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def vector(self, x):
        return {"y": x / 2.0 + 2.0}

    @tf.function(input_signature=[tf.TensorSpec([2, 3], tf.float32, "x")])
    def fixed(self, x):
        return {"y": x @ self.weights}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float64, "x")])
    def doubles(self, x):
        return {"y": x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "x")])
    def needs_tensorflow(self, x):
        return {"y": tf.strings.length(x)}


def _converted(method: str) -> bytes:
    module = _Module()
    with tempfile.TemporaryDirectory() as directory:
        tf.saved_model.save(module, directory, {"serving_default": getattr(module, method)})
        converter = tf.lite.TFLiteConverter.from_saved_model(directory)
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]
        return converter.convert()


@pytest.fixture(scope="module")
def linear() -> bytes:
    return _converted("linear")


def _with_signature_defs(model: bytes, **signatures: bytes) -> bytes:
    from flatbuffers import Builder
    from tensorflow.lite.python import schema_py_generated as schema

    packed = flexbuffers.Builder()
    with packed.Map():
        for key, value in signatures.items():
            packed.Key(key)
            packed._WriteBlob(value, append_zero=True, type_=flexbuffers.Type.STRING)
    unpacked = schema.ModelT.InitFromPackedBuf(model, 0)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(bytes(packed.Finish()), np.uint8)
    entry.name, entry.buffer = b"signature_defs_metadata", len(unpacked.buffers)
    unpacked.buffers.append(buffer)
    unpacked.metadata.append(entry)
    builder = Builder(1024)
    builder.Finish(unpacked.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _refusal(content: bytes) -> ServingError:
    with pytest.raises(ServingError) as caught:
        TfLiteModel(content, 1)
    return caught.value


def _strings(*values: bytes) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def test_the_signature_has_the_names_that_tf_serving_gives(tmp_path, linear):
    (tmp_path / "model.tflite").write_bytes(linear)
    signature = load_tflite_model(str(tmp_path)).signatures["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert {alias: info.name for alias, info in signature.inputs.items()} == {
        "serving_default_x": "serving_default_x:0",
        "serving_default_bias": "serving_default_bias:0",
    }
    assert [*signature.outputs] == ["StatefulPartitionedCall"]
    x = signature.inputs["serving_default_x"]
    assert x.dtype == types_pb2.DT_FLOAT
    assert [dim.size for dim in x.tensor_shape.dim] == [1, 3]


def test_batches_of_any_size_are_answered(linear):
    model = TfLiteModel(linear, 1)
    for rows in (1, 5, 2, 2, 300):
        x = np.random.default_rng(rows).random((rows, 3), np.float32)
        bias = np.full((rows, 1), 0.5, np.float32)
        (y,) = model.run(
            {"serving_default_x:0": x, "serving_default_bias:0": bias},
            ["StatefulPartitionedCall:0"],
        )
        np.testing.assert_allclose(y, x @ [[1.0], [2.0], [3.0]] + 0.5, rtol=1e-5)


def test_threads_get_their_own_answers(linear):
    model = TfLiteModel(linear, 2)

    def answer(number: int) -> bool:
        rows = number % 5 + 1
        x = np.full((rows, 3), number, np.float32)
        bias = np.zeros((rows, 1), np.float32)
        feeds = {"serving_default_x:0": x, "serving_default_bias:0": bias}
        (y,) = model.run(feeds, ["StatefulPartitionedCall:0"])
        return y.shape == (rows, 1) and bool((y == 6 * number).all())

    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        assert all(threads.map(answer, range(500)))


def test_an_answer_is_not_changed_by_the_next_request(linear):
    model = TfLiteModel(linear, 1)
    bias = np.zeros((1, 1), np.float32)
    answers = [
        model.run(
            {
                "serving_default_x:0": np.full((1, 3), value, np.float32),
                "serving_default_bias:0": bias,
            },
            ["StatefulPartitionedCall:0"],
        )[0]
        for value in (1, 2)
    ]
    assert [answer.item() for answer in answers] == [6, 12]


def test_names_without_their_suffix_are_known_as_in_tf_serving():
    name_of_old_converters = _converted("fixed").replace(
        b"serving_default_x:0", b"old_serving_name_xx"
    )
    model = TfLiteModel(name_of_old_converters, 1)
    (y,) = model.run({"old_serving_name_xx:0": np.ones((2, 3), np.float32)}, [*_outputs(model)])
    assert y.tolist() == [[6.0], [6.0]]


def _outputs(model: TfLiteModel) -> list[str]:
    return [info.name for info in model.signatures["serving_default"].outputs.values()]


def test_strings_keep_every_byte():
    model = TfLiteModel(_converted("last_text"), 1)
    for texts in ([b"a"], [b"b", b"c\0d\0"], [b"e", b"", "ü".encode()], [b"", b""]):
        (text,) = model.run({"serving_default_texts:0": _strings(*texts)}, _outputs(model))
        assert text.tolist() == [texts[-1]]


@pytest.fixture(scope="module")
def two_outputs() -> bytes:
    return _converted("two_outputs")


def _signature_def(output: str) -> bytes:
    signature = SignatureDef(method_name="tensorflow/serving/predict")
    signature.inputs["x"].name = "serving_default_x:0"
    signature.inputs["x"].tensor_shape.dim.add(size=-1)
    signature.outputs["y"].name = output
    return signature.SerializeToString()


def test_signature_defs_in_the_metadata_are_all_offered(two_outputs):
    names = sorted(
        details["name"]
        for details in tf.lite.Interpreter(model_content=two_outputs).get_output_details()
    )
    content = _with_signature_defs(
        two_outputs, serving_default=_signature_def(names[0]), doubled=_signature_def(names[1])
    )
    model = TfLiteModel(content, 1)
    assert sorted(model.signatures) == ["doubled", "serving_default"]
    answers = {
        key: model.run(
            {signature.inputs["x"].name: np.ones((4, 3), np.float32)},
            [signature.outputs["y"].name],
        )[0]
        for key, signature in model.signatures.items()
    }
    assert {answer.shape for answer in answers.values()} == {(4, 3)}
    np.testing.assert_array_equal(answers["serving_default"], answers["doubled"])  # 1 + 1 = 1 * 2


def test_outputs_with_the_same_name_in_tf_serving_cause_a_warning(two_outputs, caplog):
    model = TfLiteModel(two_outputs, 1)
    (output,) = _outputs(model)
    assert output.endswith(":1")
    assert "have the same name in TF Serving" in caplog.text


@pytest.mark.parametrize(
    ("signature", "code", "message"),
    [
        (b"\xff\xff", "INVALID_ARGUMENT", "Invalid SignatureDefs found in TfLite model: "),
        (
            _signature_def("absent:0"),
            "INTERNAL",
            "Unknown tensor 'absent:0'.\n\tSignature output y references an unknown tensor",
        ),
    ],
    ids=["no message", "no tensor"],
)
def test_signature_defs_that_do_not_fit_are_refused(two_outputs, signature, code, message):
    error = _refusal(_with_signature_defs(two_outputs, serving_default=signature))
    assert error.code == code
    assert str(error).startswith(message)


def test_a_file_cut_anywhere_is_refused_and_does_not_end_the_process(linear):
    for size in [*range(64), *range(64, len(linear), 7), len(linear) - 1]:
        error = _refusal(linear[:size])
        assert (error.code, str(error)) == (
            "INVALID_ARGUMENT",
            "Cannot build FlatBufferModel from buffer.",
        )


def test_a_missing_model_is_not_found(tmp_path):
    with pytest.raises(ServingError, match="model.tflite; No such file") as caught:
        load_tflite_model(str(tmp_path))
    assert caught.value.code == "NOT_FOUND"


def test_what_tf_serving_does_not_run_is_refused():
    assert str(_refusal(_converted("doubles"))) == "Unknown TfLite type: 11"
    error = _refusal(_converted("needs_tensorflow"))
    assert error.code == "INTERNAL"
    assert str(error).startswith("Cannot build Interpreter from buffer. It has the operation Flex")


@pytest.mark.parametrize(
    ("feeds", "fetches", "code", "message"),
    [
        ({"z": [[1.0]]}, [], "INTERNAL", "Unknown tensor 'z'.\n\tMissing input TFLite tensor: z"),
        (
            {"serving_default_x:0": [[1.0, 1.0, 1.0]]},
            [],
            "INVALID_ARGUMENT",
            "Missing input TFLite tensor: serving_default_bias:0",
        ),
        (
            {"serving_default_x:0": [[1.0, 1.0, 1.0]], "serving_default_bias:0": [[1.0]]},
            ["w"],
            "INTERNAL",
            "Missing output TFLite tensor: w: Unknown tensor 'w'.",
        ),
        (
            {"serving_default_x:0": [[1.0, 1.0]], "serving_default_bias:0": [[1.0]]},
            [],
            "INVALID_ARGUMENT",
            "Failed to resize input tensor: serving_default_x:0 from [-1, 3] to [1, 2]",
        ),
        (
            {"serving_default_x:0": [[1.0] * 3] * 2, "serving_default_bias:0": [[1.0]] * 3},
            [],
            "INTERNAL",
            "Failed to allocate tensors",
        ),
    ],
)
def test_a_request_that_does_not_fit_is_refused_and_the_next_is_answered(
    linear, feeds, fetches, code, message
):
    model = TfLiteModel(linear, 1)
    with pytest.raises(ServingError) as caught:
        model.run({name: np.array(value, np.float32) for name, value in feeds.items()}, fetches)
    assert (caught.value.code, str(caught.value)) == (code, message)
    good = {
        "serving_default_x:0": np.ones((2, 3), np.float32),
        "serving_default_bias:0": np.ones((2, 1), np.float32),
    }
    assert model.run(good, ["StatefulPartitionedCall:0"])[0].tolist() == [[7.0], [7.0]]


def test_values_of_another_type_are_refused(linear):
    model = TfLiteModel(linear, 1)
    feeds = {
        "serving_default_x:0": np.ones((1, 3), np.int64),
        "serving_default_bias:0": np.ones((1, 1), np.float32),
    }
    with pytest.raises(
        ServingError, match="INT64 but expected type FLOAT32.*serving_default_x:0"
    ) as caught:
        model.run(feeds, ["StatefulPartitionedCall:0"])
    assert caught.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("shape", [(1, 8, 8, 64), (2, 0, 8, 2), (0, 8, 8, 2), (1, 8, 8), ()])
def test_shapes_that_would_crash_the_process_are_rejected(shape):
    model = TfLiteModel(_converted("convolved"), 1)
    with pytest.raises(ServingError, match="Failed to resize input tensor") as caught:
        model.run({"serving_default_image:0": np.ones(shape, np.float32)}, _outputs(model))
    assert caught.value.code == "INVALID_ARGUMENT"
    good = {"serving_default_image:0": np.ones((3, 8, 8, 2), np.float32)}
    assert model.run(good, _outputs(model))[0].shape == (3, 4, 4, 4)


@pytest.mark.parametrize(("shape", "rows"), [((4, 1), 4), ((4,), 4), ((1, 1), 1), ((1,), 1)])
def test_dimensions_of_size_one_may_be_left_out_or_added(shape, rows):
    for name in ("column", "vector"):
        model = TfLiteModel(_converted(name), 1)
        (answer,) = model.run(
            {"serving_default_x:0": np.full(shape, 2.0, np.float32)}, _outputs(model)
        )
        assert answer.ravel().tolist() == [3.0] * rows
        assert answer.shape == shape, "as TF Serving resizes it"


def test_an_image_without_its_channel_does_not_crash_the_process():
    model = TfLiteModel(_converted("gray"), 1)
    with pytest.raises(ServingError, match="Failed to allocate tensors"):
        model.run({"serving_default_image:0": np.ones((1, 8, 8), np.float32)}, _outputs(model))
    good = {"serving_default_image:0": np.ones((1, 8, 8, 1), np.float32)}
    assert model.run(good, _outputs(model))[0].shape == (1, 4, 4, 4)


def test_a_model_of_fixed_batch_size_takes_others_too():
    model = TfLiteModel(_converted("fixed"), 1)
    for rows in (2, 1, 7):
        feeds = {"serving_default_x:0": np.ones((rows, 3), np.float32)}
        assert model.run(feeds, _outputs(model))[0].tolist() == [[6.0]] * rows
