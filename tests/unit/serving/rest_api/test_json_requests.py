"""Bodies of REST requests that TF Serving accepts and rejects."""

from __future__ import annotations

import codecs

import pytest
import tensorflow as tf

from prodml.errors import ServingError
from prodml.serving.rest_api.json_requests import parse_body, read_examples_body, read_predict_body

FLOAT, STRING = tf.float32.as_datatype_enum, tf.string.as_datatype_enum


def _input(body: bytes, dtype: int = FLOAT):
    return read_predict_body(body, {"d": {"x": dtype}}, "d").inputs["x"].tolist()


def test_a_byte_order_mark_is_skipped():
    assert _input(codecs.BOM_UTF8 + b'{"instances": [1.0]}') == [1.0]


def test_a_byte_order_mark_alone_is_an_empty_document():
    with pytest.raises(ServingError, match="The document is empty"):
        parse_body(codecs.BOM_UTF8)


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"1" + b"0" * 400, b"1" + b"0" * 5000])
@pytest.mark.parametrize("other", [b"1", b"NaN"])
def test_a_number_that_no_double_holds_is_refused(number, other):
    with pytest.raises(ServingError, match="Number too big to be stored in double"):
        parse_body(b'{"instances": [' + other + b", " + number + b"]}")


@pytest.mark.parametrize("other", [b"1", b"NaN"])
def test_a_whole_number_of_more_than_64_bits_is_a_double(other):
    large = b'{"instances": [' + other + b", 100000000000000000000]}"
    assert _input(large)[1] == pytest.approx(1e20)
    body = b'{"examples": [{"x": 100000000000000000000, "y": ' + other + b"}]}"
    (example,) = read_examples_body(body, tf.train.Example).examples
    assert list(example.features.feature["x"].float_list.value) == [pytest.approx(1e20)]


def test_whole_numbers_of_64_bits_stay_whole_beside_nan():
    document = parse_body(b'{"a": [NaN, 18446744073709551615, -9223372036854775808, 1.5]}')
    assert document["a"][1:] == [2**64 - 1, -(2**63), 1.5]


def test_base64_may_be_broken_into_lines():
    assert _input(b'{"instances": [{"b64": "aGVs\\nbG8=\\n"}]}', STRING) == [b"hello"]


@pytest.mark.parametrize("text", ["aGVsbG8=", "aGVsbG8"])
def test_base64_may_be_padded_or_not(text):
    assert _input(b'{"inputs": {"b64": "%s"}}' % text.encode(), STRING) == b"hello"


@pytest.mark.parametrize("text", ["-_8=", "aGVsbG8==", "aGVs=bG8", "a", "é"])
def test_what_is_not_base64_for_tf_serving_is_refused(text):
    with pytest.raises(ServingError, match="Unable to base64 decode"):
        _input(b'{"inputs": {"b64": "%s"}}' % text.encode(), STRING)
