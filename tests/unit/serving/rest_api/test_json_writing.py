from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from prodml.serving.rest_api.json_tensors import array_of
from prodml.serving.rest_api.json_writing import as_json
from prodml.serving.values.data_types import DataType, string_array


@given(
    st.sampled_from([np.float32, np.float64, np.int64, np.int32, np.uint64, np.bool_]).flatmap(
        lambda dtype: st_numpy.arrays(
            dtype, st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
        )
    )
)
def test_numbers_come_back_as_they_were(array):
    text = as_json(array, "x")
    read = np.array(json.loads(text), array.dtype).reshape(array.shape)
    np.testing.assert_array_equal(read, array)
    if array.ndim and array.size:
        assert np.shape(json.loads(text)) == array.shape


@given(st.lists(st.binary(), max_size=3))
def test_bytes_come_back_by_base64(strings):
    text = as_json(string_array(strings), "image_bytes")
    assert array_of(json.loads(text), DataType.STRING).tolist() == strings


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.float32(0.2), "0.2"),
        (np.float32(1 / 3), "0.333333343"),
        (np.float64(1 / 3), "0.33333333333333331"),
        (np.float32(9e6), "9e+06"),
        (np.array([3.0, np.nan, -np.inf, np.inf], np.float32), "[3.0, NaN, -Infinity, Infinity]"),
        (np.array([[True], [False]]), "[[true], [false]]"),
        (np.array([[1, -2]], np.int64), "[[1, -2]]"),
        (string_array(['é"'.encode()]), '["é\\""]'),
        (np.zeros((2, 0), np.float32), "[[], []]"),
    ],
)
def test_values_are_written_as_tf_serving_writes_them(array, text):
    assert as_json(np.asarray(array), "x") == text
