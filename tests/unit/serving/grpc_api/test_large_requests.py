from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
from tensorflow_serving.apis import classification_pb2, inference_pb2, predict_pb2

from prodml.errors import ServingError
from prodml.serving.grpc_api.large_requests import read_examples_request, read_predict_request
from prodml.serving.values.signatures import serialized_examples
from prodml.serving.values.tensors import to_array, to_content_proto, to_proto

_FLOATS = st.lists(st.floats(width=32), max_size=3)


@st.composite
def tensors(draw: Any) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=draw(st.sampled_from([1, 2, 3, 6, 7, 8, 9, 10, 19, 20])))
    for size in draw(st.lists(st.sampled_from([0, 1, 2, 3, -1, 2**40]), max_size=3)):
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_content = draw(st.sampled_from([b"", b"", b"1234", b"12345678"]))
    proto.float_val.extend(draw(_FLOATS))
    proto.double_val.extend(draw(_FLOATS))
    proto.scomplex_val.extend(draw(_FLOATS))
    proto.int_val.extend(draw(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3)))
    proto.half_val.extend(draw(st.lists(st.integers(0, 2**16 - 1), max_size=3)))
    proto.int64_val.extend(draw(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3)))
    proto.bool_val.extend(draw(st.lists(st.booleans(), max_size=3)))
    proto.string_val.extend(draw(st.lists(st.binary(max_size=3), max_size=3)))
    return proto


@st.composite
def requests(draw: Any) -> bytes:
    """Generates one request, or two concatenated requests, which are their merge."""
    parts = []
    for _ in range(draw(st.integers(1, 2))):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = draw(st.text(max_size=3))
        request.output_filter.extend(draw(st.lists(st.text(max_size=2), max_size=2)))
        for alias in draw(st.sets(st.sampled_from(["x", "ü", ""]), max_size=2)):
            request.inputs[alias].CopyFrom(draw(tensors()))
        parts.append(request.SerializeToString())
    return b"".join(parts)


def whole(message: bytes) -> Any:
    """Parses a request with protobuf's own parser."""
    request = predict_pb2.PredictRequest.FromString(message)
    inputs = {alias: to_array(tensor, alias) for alias, tensor in request.inputs.items()}
    request.ClearField("inputs")
    return request, inputs


def outcome(read: Any, message: bytes) -> Any:
    try:
        request, inputs = read(message)
    except DecodeError:
        return "no request"
    except ServingError as error:
        return error.code
    found = {
        alias: (array.dtype, array.shape, [repr(v) for v in array.ravel().tolist()])
        for alias, array in inputs.items()
    }
    return request, found


@given(requests())
def test_a_request_that_is_parsed_in_parts_equals_one_that_is_parsed_whole(message):
    assert outcome(read_predict_request, message) == outcome(whole, message)


@given(requests(), st.integers(0, 200), st.binary(max_size=2), st.integers(0, 2))
def test_damaged_requests_are_refused_or_read_alike(message, start, inserted, dropped):
    damaged = message[:start] + inserted + message[start + dropped :]
    cut, parsed = outcome(read_predict_request, damaged), outcome(whole, damaged)
    # Group fields, and fields in the wrong wire type, are unknown fields to protobuf.
    assert cut == parsed or cut in ("no request", "INVALID_ARGUMENT") or parsed == "no request"


@pytest.mark.parametrize("encode", [to_proto, to_content_proto])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(100_000, dtype=np.float32),
        np.arange(50_000, dtype=np.float64),
        np.arange(-50_000, 50_000, dtype=np.int64) * 10**12,
        np.arange(100_000).astype(np.uint8),
        np.arange(100_000) % 3 == 0,
        np.arange(50_000).astype(np.float16),
        (np.arange(50_000) * 1j).astype(np.complex64),
        np.array([b"\xff" * size for size in (5, 100_000, 0, 20_000, 7)], object),
        np.array([b"%d" % number for number in range(20_000)], object),
    ],
    ids=lambda array: f"{array.dtype}-{array.size}",
)
def test_large_tensors_come_back_as_they_were(array, encode):
    request = predict_pb2.PredictRequest()
    request.inputs["x"].CopyFrom(encode(array))
    _, inputs = read_predict_request(request.SerializeToString())
    assert inputs["x"].dtype == array.dtype
    np.testing.assert_array_equal(inputs["x"], array)


def test_numbers_are_where_tensorflow_need_not_copy_them():
    request = predict_pb2.PredictRequest()
    request.inputs["x"].CopyFrom(to_content_proto(np.ones(100_000, np.float32)))
    _, inputs = read_predict_request(request.SerializeToString())
    assert inputs["x"].ctypes.data % 64 == 0


def test_a_message_with_too_many_fields_is_rejected_before_it_fills_the_memory():
    with pytest.raises(DecodeError, match="more than 100000 fields"):
        read_predict_request(b"\xa0\x06\x01" * 100_001)


@pytest.mark.parametrize("field", [predict_pb2.PredictRequest, tensor_pb2.TensorProto])
def test_a_message_that_is_large_without_its_values_is_rejected(field):
    request = predict_pb2.PredictRequest()
    if field is predict_pb2.PredictRequest:
        request.model_spec.name = "m" * 2_000_000
    else:
        request.inputs["x"].dtype = 1
        request.inputs["x"].tensor_shape.dim.extend(
            tensor_shape_pb2.TensorShapeProto.Dim(size=1) for _ in range(300_000)
        )
    with pytest.raises(DecodeError, match="1048576 bytes besides its values"):
        read_predict_request(request.SerializeToString())


def _examples(count: int, start: int = 0) -> Any:
    return [
        tf.train.Example(
            features=tf.train.Features(
                feature={"x": tf.train.Feature(float_list=tf.train.FloatList(value=[number]))}
            )
        )
        for number in range(start, start + count)
    ]


@pytest.mark.parametrize("with_context", [False, True])
@pytest.mark.parametrize(
    "kind", [classification_pb2.ClassificationRequest, inference_pb2.MultiInferenceRequest]
)
def test_examples_that_are_parsed_in_parts_equal_those_that_are_parsed_whole(kind, with_context):
    first, second = kind(), kind()
    first.input.example_list.examples.extend(_examples(1))
    if with_context:
        first.input.example_list_with_context.context.CopyFrom(_examples(1)[0])
        second.input.example_list_with_context.examples.extend(_examples(3))
    else:
        second.input.example_list.examples.extend(_examples(2, start=1))
    message = first.SerializeToString() + second.SerializeToString()
    _, examples = read_examples_request(kind, message)
    expected = serialized_examples(kind.FromString(message).input)
    assert len(examples) == 3
    parse = tf.train.Example.FromString
    assert list(map(parse, examples)) == list(map(parse, expected))


def test_a_request_without_examples_has_none():
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "m"
    assert read_examples_request(type(request), request.SerializeToString()) == (request, [])


def test_the_inputs_of_a_request_share_one_limit_on_missing_bytes():
    request = predict_pb2.PredictRequest()
    for number in range(5):
        tensor = request.inputs[f"x{number}"]
        tensor.dtype = 1
        tensor.tensor_shape.dim.add(size=1_000_000)
    with pytest.raises(ServingError, match="declares 20000000 bytes"):
        read_predict_request(request.SerializeToString())


def test_a_context_that_is_repeated_for_too_many_examples_is_rejected():
    request = classification_pb2.ClassificationRequest()
    with_context = request.input.example_list_with_context
    with_context.context.features.feature["a"].bytes_list.value.append(b"a" * 100_000)
    with_context.examples.extend([tf.train.Example()] * 1_000)
    message = request.SerializeToString()
    with pytest.raises(ServingError, match="context .* repeated for 1000 examples") as caught:
        read_examples_request(classification_pb2.ClassificationRequest, message)
    assert caught.value.code == "INVALID_ARGUMENT"
    with pytest.raises(ServingError, match="repeated for 1000 examples"):
        serialized_examples(request.input)
