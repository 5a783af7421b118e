"""Inputs of predict requests: base64, and conversion of rows in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml.errors import ServingError
from prodml.serving.rest_api import json_predict_requests
from prodml.serving.rest_api.json_predict_requests import read_predict_body
from prodml.serving.values.data_types import DataType

_MANY = 10_000


def _input(body: bytes, dtype: int = DataType.STRING):
    return read_predict_body(body, {"d": {"x": dtype}}, "d").inputs["x"].tolist()


def rows(values: list[Any], dtype: int) -> Any:
    """Returns the tensor of the rows, or the error."""
    body = orjson.dumps({"instances": values})
    try:
        asked = read_predict_body(body, {"serving_default": {"x": dtype}}, "serving_default")
    except ServingError as error:
        return str(error)
    return asked.inputs["x"].tolist()


_VALUES = st.recursive(
    st.sampled_from([0, 1, 2.5, True, "a", None, 2**60]),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=4,
)
_TYPES = st.sampled_from([DataType.FLOAT, DataType.INT64, DataType.STRING, DataType.BOOL])


@given(st.lists(_VALUES, min_size=1, max_size=7), _TYPES)
def test_the_answer_is_the_same_however_many_rows_are_converted_at_once(values, dtype):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_predict_requests, "_BLOCK", 1)
        one_by_one = rows(values, dtype)
        patch.setattr(json_predict_requests, "_BLOCK", 2)
        assert rows(values, dtype) == one_by_one


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        (1, "a", "is not of expected type: float"),
        ([1, 2], [1], "Expecting tensor size: 2 but got: 1"),
        ([[1, 2]], [[1], [2]], r"Expecting shape [1,2] but got: [2,1]"),
    ],
)
def test_the_wrong_row_among_many_is_found_without_converting_each(good, bad, message, monkeypatch):
    conversions = []
    convert = json_predict_requests.array_of

    def counted(value: Any, dtype: int) -> Any:
        conversions.append(dtype)
        return convert(value, dtype)

    monkeypatch.setattr(json_predict_requests, "array_of", counted)
    error = rows([*[good] * _MANY, bad], DataType.FLOAT)
    assert error.startswith(f"Failed to process element: {_MANY} of 'instances' list")
    assert message in error
    assert len(conversions) < _MANY / 5


def test_rows_that_numpy_stacks_one_by_one_alone_are_stacked():
    values = [*[[0, 1]] * 3, [2**53 + 1, 2]]
    assert rows(values, DataType.INT64) == np.array(values).tolist()


def test_base64_may_be_broken_into_lines():
    assert _input(b'{"instances": [{"b64": "aGVs\\nbG8=\\n"}]}') == [b"hello"]


@pytest.mark.parametrize("text", ["aGVsbG8=", "aGVsbG8"])
def test_base64_may_be_padded_or_not(text):
    assert _input(b'{"inputs": {"b64": "%s"}}' % text.encode()) == b"hello"


@pytest.mark.parametrize("text", ["-_8=", "aGVsbG8==", "aGVs=bG8", "a", "é"])
def test_what_is_not_base64_for_tf_serving_is_refused(text):
    with pytest.raises(ServingError, match="Unable to base64 decode"):
        _input(b'{"inputs": {"b64": "%s"}}' % text.encode())
