"""YAML that expands too far, nests too deeply, or has duplicate keys is an error with its line."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from support.strategies import json_values

from prodml.documents import MAX_DEPTH
from prodml.yaml_documents import MAX_YAML_CHARACTERS, YamlError, parse_yaml

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, r"the document expands to more than 50,000 values, line 5, column \d+"),
        (MERGES, r"the document expands to more than 50,000 values, line 6, column \d+"),
        ("a:\n  " + "[" * 100_000, "the document nests deeper than 100 levels, line 2, column 102"),
        ("{a: " * 30_000, "the document nests deeper than 100 levels, line 1, column"),
        ("- " * 50_000 + "x", "the document nests deeper than 100 levels, line 1, column 201"),
        ("a: &a [[[[[[[[[[1]]]]]]]]]]\nb: " + "[" * 95 + "*a" + "]" * 95, "deeper .*line 2"),
        ("a: &a {x: *a}", "the alias 'a' refers to itself, line 1, column 11"),
        ("x" * (MAX_YAML_CHARACTERS + 1), "the document has more than 131,072 characters"),
        ("a: 1\nb: {c: 1, c: 2}", "duplicate key 'c', first on line 2, line 2, col"),
        ("a: 1\na: 2", "duplicate key 'a', first on line 1, line 2, column 1"),
        ("a: 1\nb: 2026-13-45", r"invalid value: month must .*, line 2, column 4"),
        ("a: " + "1" * 5000, r"invalid value: .*digits.*, line 1, column 4"),
        ("a: [\n", "invalid YAML: expected the node content.*, line 2"),
        ("a: \0", "invalid YAML: ReaderError"),
        ("a: *s3cret", "invalid YAML: found undefined alias, line 1"),
        ("a: !s3cret x", "invalid YAML: could not determine a constructor for the tag, line 1"),
        ("a: 1\n---\na: 2", "found another document, line 2"),
    ],
    ids=lambda value: value[:20],
)
def test_an_invalid_yaml_document_is_an_error_with_its_location(text: str, message: str) -> None:
    with pytest.raises(YamlError, match=f"^{message}" if message[0] == "i" else message) as got:
        parse_yaml(text)
    assert "s3cret" not in str(got.value)


@given(json_values)
def test_yaml_within_the_limits_is_parsed_as_by_pyyaml(value: Any) -> None:
    text = yaml.safe_dump(value)
    assert parse_yaml(text) == yaml.safe_load(text)


def test_small_aliases_and_merges_are_parsed_as_by_pyyaml() -> None:
    text = "base: &base {a: 1, b: [1, 2]}\nother: {<<: *base, b: 3}\nlist: [*base, *base]\n"
    assert parse_yaml(text) == yaml.safe_load(text)


def test_keys_of_different_types_with_equal_text_are_different() -> None:
    assert parse_yaml("1: a\n'1': b\n") == {1: "a", "1": "b"}


def test_the_deepest_allowed_document_is_read() -> None:
    nested = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse_yaml(nested) == yaml.safe_load(nested)
