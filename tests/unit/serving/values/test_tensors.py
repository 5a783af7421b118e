from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from tensorflow.core.framework import tensor_pb2

from prodml.errors import ServingError
from prodml.serving.values.data_types import string_array
from prodml.serving.values.tensors import Filled, to_array, to_content_proto, to_proto

NUMBERS = [
    np.float16,
    np.float32,
    np.float64,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    np.uint8,
    np.uint16,
    np.uint32,
    np.uint64,
    np.bool_,
    np.complex64,
    np.complex128,
]
numbers = st.sampled_from(NUMBERS).flatmap(
    lambda dtype: st_numpy.arrays(dtype, st_numpy.array_shapes(min_dims=0, min_side=0))
)
strings = st.lists(st.binary()).map(string_array)


@given(numbers)
def test_numbers_come_back_as_they_were_by_field_and_by_content(array):
    for encode in (to_proto, to_content_proto):
        decoded = to_array(encode(array), "x")
        assert decoded.dtype == array.dtype
        np.testing.assert_array_equal(decoded, array)


@given(numbers)
def test_tensorflow_reads_what_we_write_and_we_read_what_it_writes(array):
    np.testing.assert_array_equal(tf.make_ndarray(to_proto(array)), array)
    theirs = tf.make_tensor_proto(array)
    np.testing.assert_array_equal(to_array(theirs, "x"), array)


@given(strings)
def test_strings_keep_every_byte(array):
    decoded = to_array(to_proto(array), "x")
    assert decoded.tolist() == array.tolist()
    assert to_content_proto(array) == to_proto(array)


def test_the_last_value_fills_the_rest_of_the_shape():
    proto = tensor_pb2.TensorProto(dtype=tf.float32.as_datatype_enum, float_val=[1.0, 2.0])
    proto.tensor_shape.dim.add(size=4)
    assert to_array(proto, "x").tolist() == [1.0, 2.0, 2.0, 2.0]
    assert tf.make_ndarray(proto).tolist() == [1.0, 2.0, 2.0, 2.0]


def test_no_values_are_zeros():
    proto = tensor_pb2.TensorProto(dtype=tf.int64.as_datatype_enum)
    proto.tensor_shape.dim.add(size=2)
    assert to_array(proto, "x").tolist() == [0, 0]


def declared(*shape: int, dtype: tf.DType = tf.float32, **fields: object) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum, **fields)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize(
    "proto",
    [
        declared(-1, float_val=[1.0]),
        declared(1, float_val=[1.0, 2.0]),
        declared(2, tensor_content=b"\0" * 7),
        declared(1, dtype=tf.complex64, scomplex_val=[1.0]),
        declared(1, dtype=tf.resource),
        declared(10**9, 10**9, float_val=[1.0]),
        tensor_pb2.TensorProto(),
        declared(*[1] * 300, float_val=[1.0]),
        declared(*[1] * 33, tensor_content=b"1234"),
        declared(0, 1 << 62, 1 << 62),
        declared(1 << 62, 1 << 62, 0, dtype=tf.string),
    ],
    ids=[
        "negative",
        "too many",
        "half a value",
        "half a number",
        "resource",
        "huge",
        "no type",
        "300 dimensions",
        "33 dimensions",
        "no elements, sizes whose product overflows",
        "the same, sizes first",
    ],
)
def test_a_tensor_that_tensorflow_would_not_parse_is_an_invalid_argument(proto):
    with pytest.raises(ServingError, match="tensor parsing error: wanted") as caught:
        to_array(proto, "wanted")
    assert caught.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_])
@pytest.mark.parametrize("encode", [to_proto, to_content_proto])
def test_a_tensor_may_have_as_many_elements_as_the_message_contains(dtype, encode):
    array = np.ones(17_000_000 if encode is to_content_proto else 500_000, dtype)
    np.testing.assert_array_equal(to_array(encode(array), "x"), array)


@pytest.mark.parametrize(
    "proto",
    [
        declared(5_000_000),
        declared(3_000_000, dtype=tf.complex64),
        declared(1_000, dtype=tf.string, string_val=[b"a" * 20_000]),
        declared(1_000_000, dtype=tf.string),
    ],
    ids=["floats", "complex numbers", "long strings", "empty strings"],
)
def test_a_tensor_that_declares_far_more_bytes_than_it_contains_is_rejected(proto):
    with pytest.raises(ServingError, match="declares .* bytes that the request does not contain"):
        to_array(proto, "x")


def test_the_tensors_of_a_request_share_one_limit_on_missing_bytes():
    filled = Filled()
    proto = declared(1_000_000)
    for _ in range(4):
        assert to_array(proto, "x", filled).size == 1_000_000
    with pytest.raises(ServingError, match="tensor parsing error: x: declares 20000000 bytes"):
        to_array(proto, "x", filled)


def test_missing_bytes_are_counted_before_they_are_allocated():
    held = []
    to_array(declared(10, float_val=[1.0]), "x", Filled(held.append))
    assert held == [36]
