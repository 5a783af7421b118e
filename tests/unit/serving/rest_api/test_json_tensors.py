from __future__ import annotations

import tracemalloc

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from prodml.errors import ServingError
from prodml.serving.rest_api.json_tensors import _converted_one_by_one, array_of

FLOAT, DOUBLE = tf.float32.as_datatype_enum, tf.float64.as_datatype_enum
INT32, INT64 = tf.int32.as_datatype_enum, tf.int64.as_datatype_enum
UINT8, UINT64 = tf.uint8.as_datatype_enum, tf.uint64.as_datatype_enum
BOOL, STRING = tf.bool.as_datatype_enum, tf.string.as_datatype_enum
HALF = tf.half.as_datatype_enum

scalars = (
    st.integers(-(2**70), 2**70)
    | st.integers(-200, 200)
    | st.floats(width=32)
    | st.floats()
    | st.booleans()
    | st.none()
    | st.text(max_size=3)
    | st.just({"b64": "YQ=="})
    | st.just({"b64": "?"})
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4), max_leaves=12)
types = st.sampled_from([FLOAT, DOUBLE, INT32, INT64, UINT8, UINT64, BOOL, STRING, HALF])


@given(values, types)
def test_the_fast_and_the_slow_conversion_agree_on_tensors_and_errors(value, dtype):
    def outcome(convert):
        try:
            array = convert(value, dtype)
        except ServingError as error:
            return error.code, str(error)
        return array.dtype, array.shape, [repr(item) for item in array.ravel().tolist()]

    assert outcome(array_of) == outcome(_converted_one_by_one)


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        ([1, "a"], FLOAT, 'JSON Value: "a" Type: String is not of expected type: float'),
        ([1, True], INT64, "JSON Value: true Type: True is not of expected type: int64"),
        ([1.5], INT32, "JSON Value: 1.5 Type: Number is not of expected type: int32"),
        ([1 << 40], INT32, "is not of expected type: int32"),
        ([None], FLOAT, "JSON Value: null Type: Null is not of expected type: float"),
        ([16777217], FLOAT, "Cannot convert JSON value: 16777217 to float without loss"),
        ([1e300], FLOAT, "without loss of precision"),
        ([[1, 2], [3]], FLOAT, "list at unexpected size: 1 at level: 1 expected size: 2"),
        ([[1], 2], FLOAT, "JSON Value: 2 found at incorrect level: 2 in the JSON DOM"),
        ([1, [2]], FLOAT, "Encountered list at unexpected level: 1 expected < 1"),
        ([{"b64": 1}], STRING, "not formatted correctly for base64 data"),
        ([{"b64": "!"}], STRING, "Unable to base64 decode"),
    ],
)
def test_values_that_do_not_fit_get_tf_servings_error(value, dtype, message):
    with pytest.raises(ServingError) as caught:
        array_of(value, dtype)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert message in str(caught.value)


@pytest.mark.parametrize("dtype", [FLOAT, INT64, BOOL])
def test_a_string_among_many_numbers_takes_no_memory_for_each(dtype):
    # numpy alone would convert all of them to strings as long as the longest.
    value = ["x" * 10_000, *[1] * 10_000]
    tracemalloc.start()
    with pytest.raises(ServingError, match="is not of expected type"):
        array_of(value, dtype)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
