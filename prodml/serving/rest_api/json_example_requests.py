"""Reads the tf.Examples of a classify or regress request from JSON, as TF Serving does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from prodml.serving.rest_api.json_bodies import Body, parse_body, read_signature_name
from prodml.serving.rest_api.json_tensors import (
    checked_decimal,
    decode_base64,
    encode_text,
    invalid,
    is_base64,
    json_type,
    shown,
)
from prodml.serving.values.data_types import DataType
from prodml.serving.values.example_context import with_context

_LARGEST_INT64 = (1 << 63) - 1

Example: TypeAlias = Any
"""A `tf.train.Example`, of the message class that the caller provides."""


@dataclass(frozen=True)
class ExamplesBody:
    """The content of a classify or regress body.

    Attributes:
        signature_name: name of the signature; empty if the body names none.
        context: features that all examples share; None if absent.
        examples: at least one example.
    """

    signature_name: str
    context: Example | None
    examples: list[Example]

    def serialized(self) -> list[bytes]:
        """Returns the serialized examples, each with the context.

        Raises:
            ServingError: the examples together would be too large.
        """
        context = b"" if self.context is None else self.context.SerializeToString()
        return with_context(context, [example.SerializeToString() for example in self.examples])


def read_examples_body(body: Body, make_example: Callable[[], Example]) -> ExamplesBody:
    """Parses the tf.Examples of a classify or regress body.

    Args:
        body: JSON.
        make_example: the class of tf.Example.

    Raises:
        ServingError: the body is not JSON, there are no examples, or a feature is invalid.
    """
    document = parse_body(body)
    signature_name = read_signature_name(document)
    context = None
    if "context" in document:
        context = _example(document["context"], make_example)
    if "examples" not in document:
        raise invalid(
            f"JSON Value: {shown(document)} When method is classify, key 'examples' is expected "
            f"and was not found"
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise invalid(
            f"JSON Value: {shown(document)} Expecting 'examples' value to be an list/array"
        )
    if not examples:
        raise invalid(f"JSON Value: {shown(document)} 'examples' value is an empty array")
    return ExamplesBody(
        signature_name, context, [_example(example, make_example) for example in examples]
    )


def _example(value: Any, make_example: Callable[[], Example]) -> Example:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {json_type(value)}")
    example = make_example()
    for name, content in value.items():
        feature = example.features.feature[name]
        for item in content if isinstance(content, list) else [content]:
            _add_to_feature(feature, name, item)
    return example


def _add_to_feature(feature: Any, name: str, value: Any) -> None:
    kind = _kind(value)
    if kind is None:
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {json_type(value)}")
    present = feature.WhichOneof("kind")
    if present not in (None, kind):
        raise invalid(
            f"Unexpected element type in feature: {name} expecting type: "
            f"{present.removesuffix('_list')}"
        )
    if isinstance(value, dict):
        value = decode_base64(value)
    elif isinstance(value, str):
        value = encode_text(value)
    elif isinstance(value, float):
        value = checked_decimal(value, DataType.FLOAT)
    elif not -_LARGEST_INT64 - 1 <= value <= _LARGEST_INT64:
        raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
    getattr(feature, kind).value.append(int(value) if kind == "int64_list" else value)


def _kind(value: Any) -> str | None:
    if isinstance(value, str) or is_base64(value):
        return "bytes_list"
    if isinstance(value, int):
        return "int64_list"
    return "float_list" if isinstance(value, float) else None
