"""Documents that nest too deeply are errors with their line; all others are parsed normally."""

import json
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import assume, given
from hypothesis import strategies as st
from support.strategies import json_values
from tensorflow_metadata.proto.v0 import schema_pb2

from prodml.documents import MAX_DEPTH, parse_json, parse_text_proto


def test_the_deepest_allowed_documents_are_read() -> None:
    nested = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse_json(nested) == json.loads(nested)


@given(json_values)
def test_json_is_parsed_as_by_the_standard_library(value: Any) -> None:
    assert parse_json(json.dumps(value)) == value


@given(st.text(), st.integers(0, 200))
def test_brackets_in_strings_are_ignored(text: str, brackets: int) -> None:
    value = [text + "[{" * brackets + '"\\']
    assert parse_json(json.dumps(value)) == value


def test_json_that_nests_too_deeply_is_an_error_with_its_location() -> None:
    with pytest.raises(
        json.JSONDecodeError, match="nests deeper than 100 levels: line 2 column 301"
    ):
        parse_json("\n" + '[{"a":' * 100_000)


@given(st.text('[]{}",:\\ab1', max_size=40))
def test_invalid_json_is_rejected_as_by_the_standard_library(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(json.JSONDecodeError):
            parse_json(text)
    else:
        assert parse_json(text) == expected


def test_a_text_proto_that_nests_too_deeply_is_an_error_with_its_location() -> None:
    text = "# {{{{\n" + "feature { struct_domain { " * 2000
    with pytest.raises(
        text_format.ParseError, match=r"^2:\d+ : the document nests deeper than 100 levels"
    ):
        parse_text_proto(text, schema_pb2.Schema())


@given(st.text(), st.text("'\"{<[#\\ \n"))
def test_brackets_in_strings_and_comments_of_a_text_proto_are_ignored(name: str, more: str) -> None:
    assume(name.isprintable())
    schema = schema_pb2.Schema()
    schema.feature.add(name=(name + more) * 3)
    schema.feature.add(name="{" * 200)
    text = f"{text_format.MessageToString(schema)} # {'{' * 200}"
    assert parse_text_proto(text, schema_pb2.Schema()) == schema
