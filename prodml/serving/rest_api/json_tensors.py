"""JSON values to tensors and back, by the rules of TF Serving's REST API.

The rules and the texts of errors are those of TF Serving (`util/json_tensor.cc`). numpy converts
what is right; only what is not is walked value by value, to find where it is wrong.
"""

from __future__ import annotations

import base64
import json
import math
import string
from collections.abc import Callable, Set
from typing import Any, NoReturn

import numpy as np

from prodml.errors import ServingError
from prodml.serving.values.data_types import MAX_DIMENSIONS, Array, DataType, string_array

_BASE64 = "b64"
_WHITE_SPACE = string.whitespace.encode()
_SHOWN = 1000
"""Characters of a JSON value that a message repeats."""
_WHOLE_FLOAT: dict[int, int] = {DataType.FLOAT: (1 << 24) - 1, DataType.DOUBLE: (1 << 53) - 1}
"""The largest whole number up to which every one has its own float."""
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
"""Of numbers, and of truth values."""
_RANGES: dict[int, tuple[int, int]] = {
    DataType.INT64: (-(1 << 63), (1 << 63) - 1),
    DataType.UINT32: (0, (1 << 32) - 1),
    DataType.UINT64: (0, (1 << 64) - 1),
    # Narrow integers are cut to their width, as TF Serving does.
    **dict.fromkeys(
        (DataType.INT32, DataType.INT16, DataType.INT8, DataType.UINT8),
        (-(1 << 31), (1 << 31) - 1),
    ),
}


def array_of(value: Any, dtype: int) -> Array:
    """The tensor that a JSON value stands for.

    Args:
        value: a scalar, a list, or lists in lists; base64 objects stand for strings.
        dtype: the data type of the input, from TensorFlow's DataType.

    Raises:
        ServingError: INVALID_ARGUMENT: lists of different lengths, or a value that the type does
            not hold; UNIMPLEMENTED for a type that JSON does not carry.
    """
    fast = _converted(value, dtype)
    return fast if fast is not None else _walked(value, dtype)


def is_base64(value: Any) -> bool:
    """Whether a JSON value is `{"b64": "..."}`."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(_BASE64), str)


def decode_base64(value: Any) -> bytes:
    """The bytes of `{"b64": "..."}`.

    White space is skipped and padding may be left out, as TF Serving has it; the URL-safe alphabet
    is refused, as it is there.
    """
    if not is_base64(value):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    text = value[_BASE64].encode().translate(None, _WHITE_SPACE)
    digits = text.rstrip(b"=")
    padding = -len(digits) % 4
    try:
        if len(text) - len(digits) not in (0, padding):
            raise ValueError("wrong padding")
        return base64.b64decode(digits + b"=" * padding, validate=True)
    except ValueError:
        raise invalid("Unable to base64 decode") from None


def encode_text(value: str) -> bytes:
    """The bytes of a JSON string."""
    return value.encode()


def as_json(array: Array, name: str) -> str:
    """A tensor as JSON text.

    Args:
        array: the tensor; strings are bytes.
        name: of the output; strings of one that ends in `_bytes` are written in base64.

    Raises:
        ServingError: JSON does not carry such values.
    """
    writers: dict[str, Callable[[Array], list[str]]] = {
        "f": decimals,
        "i": lambda values: [str(value) for value in values.tolist()],
        "u": lambda values: [str(value) for value in values.tolist()],
        "b": lambda values: ["true" if value else "false" for value in values.tolist()],
        "O": _base64_objects if name.endswith("_bytes") else _strings,
    }
    check_writable(array)
    return _nested(writers[array.dtype.kind](array.ravel()), array.shape)


def check_writable(array: Array) -> None:
    """Checks that JSON carries values of an array's type.

    Raises:
        ServingError: it does not.
    """
    if array.dtype.kind not in "fiubO" or array.dtype == np.float16:
        name = "half" if array.dtype == np.float16 else array.dtype.name
        raise invalid(f"Failed to write JSON value for tensor type: {name}")


def type_name(dtype: int) -> str:
    """TensorFlow's short name of a data type, such as `float`."""
    return DataType(dtype).name.lower()


def shown(value: Any) -> str:
    """A JSON value as messages repeat it."""
    text = ""
    # Piece by piece: a value may be as large as a request, and nested as deep as Python goes.
    try:
        for piece in json.JSONEncoder(ensure_ascii=False, indent=4).iterencode(value):
            text += piece
            if len(text) > _SHOWN:
                break
    except RecursionError:
        return f"{text[:_SHOWN]}..."
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def too_many_dimensions(value: Any) -> ServingError:
    """The refusal of lists in lists that no array holds."""
    return invalid(
        f"JSON Value: {shown(value)} has lists nested more than {MAX_DIMENSIONS} deep, the most "
        f"that is supported"
    )


def invalid(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)


def _converted(value: Any, dtype: int) -> Array | None:
    """The tensor, where numpy makes it and none of its values needs a closer look."""
    if dtype == DataType.STRING:
        if isinstance(value, list) and all(type(item) is str for item in value):
            return string_array([encode_text(item) for item in value])
        return None
    # numpy takes true for 1 among numbers, and numbers among strings for strings as long as the
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
        # An empty list is an array of floats to numpy.
        return None if array.size else array.astype(_DTYPES[dtype])
    return array.astype(_DTYPES[dtype])


def _leaves_are(types: Set[type], value: Any, level: int = 0) -> bool:
    """Whether all values in lists are of some types, and no list is deeper than arrays are."""
    if not isinstance(value, list):
        return type(value) in types
    kinds = set(map(type, value))
    if kinds != {list}:
        return kinds <= types
    return level < MAX_DIMENSIONS and all(_leaves_are(types, item, level + 1) for item in value)


def _walked(value: Any, dtype: int) -> Array:
    """The tensor, value by value; raises at the first that is wrong."""
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
    """The number, where a float of the type holds it.

    Raises:
        ServingError: it is a whole number that the type rounds, or beyond its range.
    """
    is_held: bool
    if isinstance(value, int):
        is_held = abs(value) <= _WHOLE_FLOAT[dtype]
    else:
        is_held = not math.isfinite(value) or abs(value) <= float(np.finfo(_DTYPES[dtype]).max)
    if not is_held:
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
    """The name of a JSON value's type, as messages have it."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    names: dict[type, str] = {dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")


def decimals(values: Array) -> list[str]:
    """Six digits where they say the number, else as many as tell it from every other; with `.0`."""
    digits = 9 if values.dtype == np.float32 else 17
    short = [f"{value:.6g}" for value in values.tolist()]
    is_exact = np.array(short, values.dtype) == values
    texts = []
    for text, exact, value in zip(short, is_exact.tolist(), values.tolist(), strict=True):
        if value != value:
            texts.append("NaN")
        elif value in (float("inf"), float("-inf")):
            texts.append("Infinity" if value > 0 else "-Infinity")
        else:
            decimal = text if exact else f"{value:.{digits}g}"
            texts.append(decimal if "." in decimal or "e" in decimal else f"{decimal}.0")
    return texts


def _strings(values: Array) -> list[str]:
    return [
        json.dumps(value.decode("utf-8", errors="replace"), ensure_ascii=False) for value in values
    ]


def _base64_objects(values: Array) -> list[str]:
    return [f'{{"{_BASE64}": "{base64.b64encode(value).decode()}"}}' for value in values]


def _nested(texts: list[str], shape: tuple[int, ...]) -> str:
    """The texts in as many brackets as the tensor has dimensions."""
    if not shape:
        return texts[0]
    for size in reversed(shape[1:]):
        # Without values, the size of the others still says how many lists there are.
        count = len(texts) // size if size else int(np.prod(shape[:-1]))
        texts = [f"[{', '.join(texts[i * size : (i + 1) * size])}]" for i in range(count)]
        shape = shape[:-1]
    return f"[{', '.join(texts)}]"
