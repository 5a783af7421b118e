"""Parses bodies of REST requests, as TF Serving does (`util/json_tensor.cc`)."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import orjson

from prodml.errors import ServingError
from prodml.serving.rest_api.json_tensors import (
    array_of,
    checked_decimal,
    decode_base64,
    encode_text,
    invalid,
    is_base64,
    json_type,
    shown,
    too_many_dimensions,
)
from prodml.serving.values.data_types import MAX_DIMENSIONS, Array, DataType
from prodml.serving.values.example_context import with_context

_LARGEST_INT64 = (1 << 63) - 1
_LARGEST_UINT64 = (1 << 64) - 1
_DIGITS_OF_UINT64 = 20
_BLOCK = 100
"""Number of rows that are converted in one step when some row is invalid."""

Body: TypeAlias = bytes | memoryview
Example: TypeAlias = Any
"""A `tf.train.Example`, of the message class that the caller provides."""


@dataclass(frozen=True)
class PredictBody:
    """The content of a predict body.

    Attributes:
        signature_name: name of the signature; empty if the body names none.
        has_rows: whether the body is row by row, and so is the answer.
        inputs: the inputs by name.
    """

    signature_name: str
    has_rows: bool
    inputs: Mapping[str, Array]


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


def parse_body(body: Body) -> dict[str, Any]:
    """Parses the JSON object in a body; accepts NaN and Infinity, and skips a byte order mark.

    Raises:
        ServingError: the body is not JSON, or not an object.
    """
    if bytes(body[: len(codecs.BOM_UTF8)]) == codecs.BOM_UTF8:
        body = body[len(codecs.BOM_UTF8) :]
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        # orjson is three to ten times as fast, but rejects NaN and has other error texts.
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = _parse_strictly(bytes(body))
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {shown(document)} Is not object")
    return document


def _parse_strictly(body: bytes) -> Any:
    try:
        document = json.loads(body.decode(), parse_int=_whole_number, parse_float=_decimal)
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: Invalid value. at offset: {error.pos}") from None
    except UnicodeDecodeError as error:
        raise invalid(
            f"JSON Parse error: Invalid encoding in string. at offset: {error.start}"
        ) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise invalid("JSON Parse error: Number too big to be stored in double.") from None
    if b"\\ud" in body.lower():
        _check_surrogates(document)
    return document


def _whole_number(text: str) -> float:
    """Parses an integer; one of more than 64 bits is a double, as in orjson and TF Serving."""
    if len(text) <= _DIGITS_OF_UINT64:
        value = int(text)
        if -_LARGEST_INT64 - 1 <= value <= _LARGEST_UINT64:
            return value
    return _decimal(text)


def _decimal(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(text)
    return value


def _too_deep() -> ServingError:
    return invalid("JSON Parse error: lists or objects are nested too deeply")


def _check_surrogates(document: Any) -> None:
    """Rejects half of a surrogate pair, which JSON can escape but UTF-8 cannot encode."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise invalid(
            "JSON Parse error: The surrogate pair in string is invalid. at offset: 0"
        ) from None
    except RecursionError:
        raise _too_deep() from None


def read_signature_name(document: Mapping[str, Any]) -> str:
    """Returns the signature that a body names; empty if it names none."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key must be "
            f"a string value."
        )
    return name


def read_predict_body(
    body: Body, types: Mapping[str, Mapping[str, int]], default_signature: str
) -> PredictBody:
    """Parses the inputs in a body: `instances` (row by row) or `inputs` (column by column).

    Args:
        body: JSON.
        types: the data types of the inputs by signature and name.
        default_signature: the signature to use if the body names none.

    Raises:
        ServingError: the body is not JSON, or its inputs do not fit the signature.
    """
    document = parse_body(body)
    signature_name = read_signature_name(document)
    key = signature_name or default_signature
    if key not in types:
        raise invalid(f'Serving signature name: "{key}" not found in signature def')
    of_inputs = types[key]
    has_rows, has_columns = "instances" in document, "inputs" in document
    if not of_inputs:
        raise invalid(f"Failed to get input map for signature: {signature_name or 'DEFAULT'}")
    if has_rows and has_columns:
        raise invalid(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only one of 'inputs' "
            f"or 'instances' keys to exist "
        )
    if not has_rows and not has_columns:
        raise invalid("Missing 'inputs' or 'instances' key")
    inputs = (
        _columns(document["inputs"], of_inputs)
        if has_columns
        else _rows(document["instances"], of_inputs, document)
    )
    return PredictBody(signature_name, has_rows, inputs)


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


def _columns(value: Any, types: Mapping[str, int]) -> dict[str, Array]:
    if not isinstance(value, dict) or is_base64(value):
        if len(types) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        ((name, dtype),) = types.items()
        return {name: array_of(value, dtype)}
    missing = [name for name in types if name not in value]
    if missing:
        raise invalid(f"Missing named input: {missing[0]} in 'inputs' object.")
    return {name: array_of(value[name], dtype) for name, dtype in types.items()}


def _rows(
    instances: Any, types: Mapping[str, int], document: Mapping[str, Any]
) -> dict[str, Array]:
    if not isinstance(instances, list):
        raise invalid(f"JSON Value: {shown(document)} Excepting 'instances' to be an list/array")
    if not instances:
        raise invalid(f"JSON Value: {shown(document)} No values in 'instances' array")
    if not isinstance(instances[0], dict) and len(types) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    are_objects = _is_object(instances[0])
    for index, instance in enumerate(instances):
        if are_objects and not _is_object(instance):
            raise invalid(f"Expecting object but got list at item {index} of input list")
        if not are_objects and _is_object(instance):
            raise invalid(f"Expecting value/list but got object at item {index} of input list")
    if are_objects:
        return _named_rows(instances, types)
    name, dtype = next(iter(types.items()))
    return {name: _stacked(instances, dtype, "")}


def _named_rows(instances: list[dict[str, Any]], types: Mapping[str, int]) -> dict[str, Array]:
    for index, instance in enumerate(instances):
        if instance.keys() == types.keys():
            continue
        unknown = [name for name in instance if name not in types]
        if unknown:
            raise _failed(
                index,
                unknown[0],
                invalid(f"JSON object: does not have named input: {unknown[0]}"),
            )
        raise invalid(
            f"Failed to process element: {index} of 'instances' list. JSON object: "
            f"{shown(instance)} must only have keys: {','.join(sorted(types))}"
        )
    return {
        name: _stacked([instance[name] for instance in instances], dtype, name)
        for name, dtype in types.items()
    }


def _stacked(values: list[Any], dtype: int, key: str) -> Array:
    """Stacks the values of all rows into one tensor; an error names the invalid row."""
    try:
        return array_of(values, dtype)
    except ServingError:
        pass
    # In blocks: row by row, an invalid last row would take a hundred times as long as valid rows.
    blocks: list[Array] = []
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK]
        try:
            converted = array_of(block, dtype)
        except ServingError:
            converted = None
        if converted is None or (blocks and converted.shape[1:] != blocks[0].shape[1:]):
            converted = _stacked_one_by_one(blocks, start, block, dtype, key)
        blocks.append(converted)
    return np.concatenate(blocks)


def _stacked_one_by_one(
    blocks: list[Array], start: int, values: list[Any], dtype: int, key: str
) -> Array:
    """Stacks the rows from `start` on into one tensor, after the blocks before them."""
    arrays: list[Array] = []
    for index, value in enumerate(values, start):
        try:
            array = array_of(value, dtype)
            first = blocks[0][0] if blocks else arrays[0] if arrays else array
            if np.size(first) != array.size:
                raise invalid(f"Expecting tensor size: {np.size(first)} but got: {array.size}")
            if np.shape(first) != array.shape:
                raise invalid(
                    f"Expecting shape {_shape(np.shape(first))} but got: {_shape(array.shape)}"
                )
        except ServingError as error:
            raise _failed(index, key, error) from None
        if array.ndim == MAX_DIMENSIONS:
            raise too_many_dimensions(values)
        arrays.append(array)
    return np.stack(arrays)


def _failed(index: int, key: str, error: ServingError) -> ServingError:
    where = f"{index} key: {key}" if key else f"{index}"
    return invalid(
        f"Failed to process element: {where} of 'instances' list. Error: {error.code}: {error}"
    )


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _shape(sizes: Sequence[int]) -> str:
    return f"[{','.join(map(str, sizes))}]"


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
