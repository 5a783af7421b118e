"""Converts JSON values to tensors by the rules of TF Serving's REST API.

The rules and the error texts are those of TF Serving (`util/json_tensor.cc`). numpy converts valid
values; only invalid ones are checked one by one, to find the first that is wrong.
"""

from __future__ import annotations

import base64
import json
import math
import string
from collections.abc import Set
from typing import Any, NoReturn

import numpy as np

from prodml.errors import ServingError
from prodml.serving.values.data_types import MAX_DIMENSIONS, Array, DataType, string_array

BASE64 = "b64"
"""The only key of a JSON object that represents a string by its bytes."""

_WHITE_SPACE = string.whitespace.encode()
_SHOWN = 1000
"""Maximum characters of a JSON value in an error message."""
_WHOLE_FLOAT: dict[int, int] = {DataType.FLOAT: (1 << 24) - 1, DataType.DOUBLE: (1 << 53) - 1}
"""The largest integer up to which each integer is represented exactly."""
_DTYPES: dict[int, Any] = {
    DataType.FLOAT: np.float32,
    DataType.DOUBLE: np.float64,
    DataType.INT64: np.int64,
    DataType.INT32: np.int32,
    DataType.INT16: np.int16,
    DataType.INT8: np.int8,
    DataType.UINT8: np.uint8,
    DataType.UINT32: np.uint32,
    DataType.UINT64: np.uint64,
    DataType.BOOL: np.bool_,
    DataType.STRING: object,
}
_LEAVES: tuple[Set[type], Set[type]] = ({int, float}, {bool})
"""Python types of JSON numbers, and of JSON booleans."""
_RANGES: dict[int, tuple[int, int]] = {
    DataType.INT64: (-(1 << 63), (1 << 63) - 1),
    DataType.UINT32: (0, (1 << 32) - 1),
    DataType.UINT64: (0, (1 << 64) - 1),
    # Narrow integers are truncated to their width, as in TF Serving.
    **dict.fromkeys(
        (DataType.INT32, DataType.INT16, DataType.INT8, DataType.UINT8),
        (-(1 << 31), (1 << 31) - 1),
    ),
}


def array_of(value: Any, dtype: int) -> Array:
    """Converts a JSON value to a tensor.

    Args:
        value: a scalar, a list, or nested lists; base64 objects represent strings.
        dtype: the data type of the input, from TensorFlow's DataType.

    Raises:
        ServingError: INVALID_ARGUMENT if lists have different lengths or a value does not fit the
            type; UNIMPLEMENTED if JSON cannot represent the type.
    """
    fast = _converted(value, dtype)
    return fast if fast is not None else _converted_one_by_one(value, dtype)


def is_base64(value: Any) -> bool:
    """Whether a JSON value is `{"b64": "..."}`."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(BASE64), str)


def decode_base64(value: Any) -> bytes:
    """Decodes `{"b64": "..."}`.

    As in TF Serving, white space is skipped, padding may be omitted, and the URL-safe alphabet is
    rejected.
    """
    if not is_base64(value):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    text = value[BASE64].encode().translate(None, _WHITE_SPACE)
    digits = text.rstrip(b"=")
    padding = -len(digits) % 4
    try:
        if len(text) - len(digits) not in (0, padding):
            raise ValueError("wrong padding")
        return base64.b64decode(digits + b"=" * padding, validate=True)
    except ValueError:
        raise invalid("Unable to base64 decode") from None


def encode_text(value: str) -> bytes:
    """Encodes a JSON string as bytes."""
    return value.encode()


def type_name(dtype: int) -> str:
    """Returns TensorFlow's short name of a data type, such as `float`."""
    return DataType(dtype).name.lower()


def shown(value: Any) -> str:
    """Formats a JSON value for an error message."""
    text = ""
    # Piece by piece: a value may be as large as a request, and nested to Python's recursion limit.
    try:
        for piece in json.JSONEncoder(ensure_ascii=False, indent=4).iterencode(value):
            text += piece
            if len(text) > _SHOWN:
                break
    except RecursionError:
        return f"{text[:_SHOWN]}..."
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def too_many_dimensions(value: Any) -> ServingError:
    """Returns the error for lists that are nested deeper than arrays support."""
    return invalid(
        f"JSON Value: {shown(value)} has lists nested more than {MAX_DIMENSIONS} deep, the most "
        f"that is supported"
    )


def invalid(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)


def _converted(value: Any, dtype: int) -> Array | None:
    """Returns the tensor if numpy can convert it safely; None if each value must be checked."""
    if dtype == DataType.STRING:
        if isinstance(value, list) and all(type(item) is str for item in value):
            return string_array([encode_text(item) for item in value])
        return None
    # numpy converts true among numbers to 1, and numbers among strings to strings as long as the
    # longest, which takes gigabytes.
    if dtype not in _DTYPES or not _leaves_are(_LEAVES[dtype == DataType.BOOL], value):
        return None
    try:
        array = np.array(value)
    except (ValueError, OverflowError):
        return None
    if dtype == DataType.BOOL:
        return array if array.dtype == np.bool_ else None
    if array.dtype.kind not in "iuf":
        return None
    if dtype in _WHOLE_FLOAT:
        within = np.abs(array) <= _WHOLE_FLOAT[dtype]
        return array.astype(_DTYPES[dtype]) if within.all() else None
    low, high = _RANGES[dtype]
    if array.dtype.kind == "f" or (array.size and (array.min() < low or array.max() > high)):
        # numpy converts an empty list to an array of floats.
        return None if array.size else array.astype(_DTYPES[dtype])
    return array.astype(_DTYPES[dtype])


def _leaves_are(types: Set[type], value: Any, level: int = 0) -> bool:
    """Whether all values in nested lists have one of the types, and the nesting is not deeper than
    arrays support."""
    if not isinstance(value, list):
        return type(value) in types
    kinds = set(map(type, value))
    if kinds != {list}:
        return kinds <= types
    return level < MAX_DIMENSIONS and all(_leaves_are(types, item, level + 1) for item in value)


def _converted_one_by_one(value: Any, dtype: int) -> Array:
    """Converts the tensor value by value; raises an error at the first invalid value."""
    if dtype not in _DTYPES:
        raise ServingError(
            "UNIMPLEMENTED", f"Conversion of JSON Value: {shown(value)} to type: {type_name(dtype)}"
        )
    shape: list[int] = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        if len(shape) > MAX_DIMENSIONS:
            raise too_many_dimensions(value)
        if not inner:
            break
        inner = inner[0]
    values: list[Any] = []
    _collect(value, 0, shape, dtype, values)
    if dtype == DataType.STRING:
        return string_array(values).reshape(shape)
    wide = np.array(values, np.int64 if dtype in _RANGES and dtype != DataType.UINT64 else None)
    return wide.astype(_DTYPES[dtype]).reshape(shape)


def _collect(value: Any, level: int, shape: list[int], dtype: int, values: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {len(shape)}"
            )
        values.append(_scalar(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: "
            f"{shape[level]}"
        )
    for item in value:
        _collect(item, level + 1, shape, dtype, values)


def _scalar(value: Any, dtype: int) -> Any:
    if dtype == DataType.STRING:
        if isinstance(value, dict):
            return decode_base64(value)
        if not isinstance(value, str):
            _wrong_type(value, dtype)
        return encode_text(value)
    is_boolean = isinstance(value, bool)
    if dtype == DataType.BOOL:
        if not is_boolean:
            _wrong_type(value, dtype)
        return value
    if is_boolean or not isinstance(value, int | float):
        _wrong_type(value, dtype)
    if dtype in _WHOLE_FLOAT:
        return checked_decimal(value, dtype)
    low, high = _RANGES[dtype]
    if not isinstance(value, int) or not low <= value <= high:
        _wrong_type(value, dtype)
    return value


def checked_decimal(value: float, dtype: int) -> float:
    """Returns the number if a float of the type can represent it.

    Raises:
        ServingError: the number is an integer that the type would round, or is out of range.
    """
    fits: bool
    if isinstance(value, int):
        fits = abs(value) <= _WHOLE_FLOAT[dtype]
    else:
        fits = not math.isfinite(value) or abs(value) <= float(np.finfo(_DTYPES[dtype]).max)
    if not fits:
        raise invalid(
            f"Cannot convert JSON value: {shown(value)} to {type_name(dtype)} without loss of "
            f"precision."
        )
    return value


def _wrong_type(value: Any, dtype: int) -> NoReturn:
    raise invalid(
        f"JSON Value: {shown(value)} Type: {json_type(value)} is not of expected type: "
        f"{type_name(dtype)}"
    )


def json_type(value: Any) -> str:
    """Returns the name of a JSON value's type for error messages."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    names: dict[type, str] = {dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")
