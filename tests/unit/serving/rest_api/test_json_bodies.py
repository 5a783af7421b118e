"""JSON texts that TF Serving accepts and rejects."""

from __future__ import annotations

import codecs

import pytest

from prodml.errors import ServingError
from prodml.serving.rest_api.json_bodies import parse_body


def test_a_byte_order_mark_is_skipped():
    assert parse_body(codecs.BOM_UTF8 + b'{"instances": [1.0]}') == {"instances": [1.0]}


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
    document = parse_body(b'{"a": [' + other + b", 100000000000000000000]}")
    assert isinstance(document["a"][1], float)
    assert document["a"][1] == pytest.approx(1e20)


def test_whole_numbers_of_64_bits_stay_whole_beside_nan():
    document = parse_body(b'{"a": [NaN, 18446744073709551615, -9223372036854775808, 1.5]}')
    assert document["a"][1:] == [2**64 - 1, -(2**63), 1.5]
