"""Bodies of REST requests, as TF Serving reads them (`util/json_tensor.cc`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import input_pb2, model_pb2, predict_pb2

from prodml.errors import ServingError
from prodml.serving.json_tensors import (
    array_of,
    checked_decimal,
    decode_base64,
    encode_text,
    invalid,
    is_base64,
    json_type,
    shown,
)
from prodml.serving.tensors import Array, to_content_proto

_LARGEST_INT64 = (1 << 63) - 1


class _ExamplesRequest(Protocol):
    model_spec: model_pb2.ModelSpec
    input: input_pb2.Input


def parse_body(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; NaN and Infinity are numbers.

    Raises:
        ServingError: it is not JSON, or no object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body.decode())
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: Invalid value. at offset: {error.pos}") from None
    except UnicodeDecodeError as error:
        raise invalid(
            f"JSON Parse error: Invalid encoding in string. at offset: {error.start}"
        ) from None
    except RecursionError:
        raise invalid("JSON Parse error: lists or objects are nested too deeply") from None
    except ValueError:
        raise invalid("JSON Parse error: Number too big to be stored in double.") from None
    if b"\\ud" in body.lower():
        _check_surrogates(document)
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {shown(document)} Is not object")
    return document


def _check_surrogates(document: Any) -> None:
    """Refuses half of a surrogate pair: it is escaped in the body, and no text anywhere else."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise invalid(
            "JSON Parse error: The surrogate pair in string is invalid. at offset: 0"
        ) from None


def read_signature_name(document: Mapping[str, Any]) -> str:
    """The signature that a body names; empty where it names none."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key must be "
            f"a string value."
        )
    return name


def fill_predict_request(
    request: predict_pb2.PredictRequest, document: Mapping[str, Any], types: Mapping[str, int]
) -> bool:
    """Puts the inputs of a body into a request.

    Args:
        request: gets the inputs.
        document: the body, with `instances` (row by row) or `inputs` (column by column).
        types: the data type of each of the signature's inputs.

    Returns:
        Whether the body, and so the answer, goes row by row.

    Raises:
        ServingError: the inputs do not fit the signature.
    """
    has_rows, has_columns = "instances" in document, "inputs" in document
    if not types:
        name = request.model_spec.signature_name or "DEFAULT"
        raise invalid(f"Failed to get input map for signature: {name}")
    if has_rows and has_columns:
        raise invalid(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only one of 'inputs' "
            f"or 'instances' keys to exist "
        )
    if not has_rows and not has_columns:
        raise invalid("Missing 'inputs' or 'instances' key")
    arrays = (
        _columns(document["inputs"], types)
        if has_columns
        else _rows(document["instances"], types, document)
    )
    for name, array in arrays.items():
        request.inputs[name].CopyFrom(to_content_proto(array))
    return has_rows


def fill_examples(request: _ExamplesRequest, document: Mapping[str, Any]) -> None:
    """Puts the tf.Examples of a classify or regress body into a request.

    Raises:
        ServingError: there are none, or a feature is none.
    """
    has_context = "context" in document
    into = request.input.example_list_with_context if has_context else request.input.example_list
    if has_context:
        _fill_example(request.input.example_list_with_context.context, document["context"])
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
    for example in examples:
        _fill_example(into.examples.add(), example)


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
    """One tensor of all rows' values; the message of an error tells the row."""
    try:
        return array_of(values, dtype)
    except ServingError:
        pass
    arrays: list[Array] = []
    for index, value in enumerate(values):
        try:
            array = array_of(value, dtype)
            if arrays and array.size != arrays[0].size:
                raise invalid(f"Expecting tensor size: {arrays[0].size} but got: {array.size}")
            if arrays and array.shape != arrays[0].shape:
                raise invalid(f"Expecting shape {_shape(arrays[0])} but got: {_shape(array)}")
        except ServingError as error:
            raise _failed(index, key, error) from None
        arrays.append(array)
    return np.stack(arrays)


def _failed(index: int, key: str, error: ServingError) -> ServingError:
    where = f"{index} key: {key}" if key else f"{index}"
    return invalid(
        f"Failed to process element: {where} of 'instances' list. Error: {error.code}: {error}"
    )


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _shape(array: Array) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _fill_example(example: tf.train.Example, value: Any) -> None:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {json_type(value)}")
    for name, content in value.items():
        feature = example.features.feature[name]
        for item in content if isinstance(content, list) else [content]:
            _add_to_feature(feature, name, item)


def _add_to_feature(feature: tf.train.Feature, name: str, value: Any) -> None:
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
        value = checked_decimal(value, types_pb2.DT_FLOAT)
    elif not -_LARGEST_INT64 - 1 <= value <= _LARGEST_INT64:
        raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
    getattr(feature, kind).value.append(int(value) if kind == "int64_list" else value)


def _kind(value: Any) -> str | None:
    if isinstance(value, str) or is_base64(value):
        return "bytes_list"
    if isinstance(value, int):
        return "int64_list"
    return "float_list" if isinstance(value, float) else None
