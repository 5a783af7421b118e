"""Reads the inputs of a predict request from JSON, as TF Serving does (`util/json_tensor.cc`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prodml.errors import ServingError
from prodml.serving.rest_api.json_bodies import Body, parse_body, read_signature_name
from prodml.serving.rest_api.json_tensors import (
    array_of,
    invalid,
    is_base64,
    shown,
    too_many_dimensions,
)
from prodml.serving.values.data_types import MAX_DIMENSIONS, Array

_BLOCK = 100
"""Number of rows that are converted in one step when some row is invalid."""


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
