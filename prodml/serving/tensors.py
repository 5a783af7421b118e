"""TensorProto to numpy array and back, quickly, by TensorFlow's rules.

`tf.make_ndarray` and `tf.make_tensor_proto` do the same in several times the time of a small
model's call, and trust what they are given: a request may claim any shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

from prodml.errors import ServingError

Array = np.ndarray[Any, np.dtype[Any]]


_MOST_FILLED = 1 << 20
"""Elements of a tensor that does not bring a value for each."""


@dataclass(frozen=True)
class _Field:
    """How the values of a data type stand in a TensorProto."""

    dtype: np.dtype[Any]
    name: str
    decode: Callable[[Any], Array] | None = None
    encode: Callable[[Array], Any] | None = None


def _bits(dtype: Any) -> _Field:
    """Sixteen-bit floats stand as integers with the same bits."""
    kind = np.dtype(dtype)
    return _Field(
        kind,
        "half_val",
        lambda values: np.array(values, np.uint16).view(kind),
        lambda array: array.view(np.uint16).tolist(),
    )


def _narrow(dtype: Any) -> _Field:
    """Narrow integers stand in a wider field; TensorFlow, too, cuts what they do not hold."""
    kind = np.dtype(dtype)
    return _Field(kind, "int_val", lambda values: np.array(values, np.int32).astype(kind))


def _complex(dtype: Any, part: Any, name: str) -> _Field:
    """Complex numbers stand as real and imaginary part by turns."""
    return _Field(
        np.dtype(dtype),
        name,
        lambda values: np.array(values, part).view(dtype),
        lambda array: array.view(part).tolist(),
    )


_FIELDS: dict[int, _Field] = {
    types_pb2.DT_FLOAT: _Field(np.dtype(np.float32), "float_val"),
    types_pb2.DT_DOUBLE: _Field(np.dtype(np.float64), "double_val"),
    types_pb2.DT_INT64: _Field(np.dtype(np.int64), "int64_val"),
    types_pb2.DT_INT32: _Field(np.dtype(np.int32), "int_val"),
    types_pb2.DT_INT16: _narrow(np.int16),
    types_pb2.DT_INT8: _narrow(np.int8),
    types_pb2.DT_UINT8: _narrow(np.uint8),
    types_pb2.DT_UINT16: _narrow(np.uint16),
    types_pb2.DT_UINT32: _Field(np.dtype(np.uint32), "uint32_val"),
    types_pb2.DT_UINT64: _Field(np.dtype(np.uint64), "uint64_val"),
    types_pb2.DT_BOOL: _Field(np.dtype(np.bool_), "bool_val"),
    types_pb2.DT_STRING: _Field(np.dtype(object), "string_val"),
    types_pb2.DT_HALF: _bits(np.float16),
    types_pb2.DT_BFLOAT16: _bits(ml_dtypes.bfloat16),
    types_pb2.DT_COMPLEX64: _complex(np.complex64, np.float32, "scomplex_val"),
    types_pb2.DT_COMPLEX128: _complex(np.complex128, np.float64, "dcomplex_val"),
}
_TYPES = {field.dtype: number for number, field in _FIELDS.items()}


def to_array(proto: tensor_pb2.TensorProto, alias: str, *, max_elements: int) -> Array:
    """The values of a TensorProto; strings as bytes in an object array.

    Where fewer values are given than the shape holds, the last one fills the rest, as TensorFlow
    has it: a request of a few bytes can claim a tensor of any size.

    Args:
        proto: the tensor, its values in `tensor_content` or in the field of its type.
        alias: name of the input, for the message.
        max_elements: how many elements a tensor may have.

    Raises:
        ServingError: INVALID_ARGUMENT, where TensorFlow would not parse it either or it is larger
            than `max_elements`.
    """
    field = _FIELDS.get(proto.dtype)
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if field is None or proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise _unparsable(alias)
    count = math.prod(shape)
    if count > max_elements:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"tensor parsing error: {alias}: shape {shape} has more than {max_elements} elements",
        )
    if proto.tensor_content and field.dtype != object:
        if len(proto.tensor_content) != count * field.dtype.itemsize:
            raise _unparsable(alias)
        return np.frombuffer(proto.tensor_content, field.dtype).reshape(shape)
    values = _values(proto, field, alias)
    if len(values) != count:
        if count > _MOST_FILLED:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"tensor parsing error: {alias}: {len(values)} values for shape {shape}",
            )
        values = _filled(values, count, alias)
    return values.reshape(shape)


def string_array(values: Sequence[bytes]) -> Array:
    """A string tensor of shape [len(values)]: numpy would cut zero bytes off the ends."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def to_proto(array: Array) -> tensor_pb2.TensorProto:
    """A TensorProto with the values in the field of their type, as TF Serving answers."""
    number = type_number(array)
    field = _FIELDS[number]
    proto = tensor_pb2.TensorProto(dtype=number)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    flat = array.ravel()
    getattr(proto, field.name).extend(field.encode(flat) if field.encode else flat.tolist())
    return proto


def to_content_proto(array: Array) -> tensor_pb2.TensorProto:
    """A TensorProto with the values as bytes in `tensor_content`; strings stand in their field."""
    if array.dtype == object:
        return to_proto(array)
    proto = tensor_pb2.TensorProto(dtype=type_number(array), tensor_content=array.tobytes())
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def type_number(array: Array) -> int:
    """TensorFlow's number of an array's data type.

    Raises:
        ServingError: TensorProto does not carry such values.
    """
    try:
        return _TYPES[array.dtype]
    except KeyError:
        raise ServingError(
            "UNIMPLEMENTED", f"the model answers with values of type {array.dtype}"
        ) from None


def _values(proto: tensor_pb2.TensorProto, field: _Field, alias: str) -> Array:
    values = getattr(proto, field.name)
    if field.dtype == object:
        return string_array(values)
    try:
        return field.decode(values) if field.decode else np.array(values, field.dtype)
    except ValueError:  # half of a complex number
        raise _unparsable(alias) from None


def _filled(values: Array, count: int, alias: str) -> Array:
    if len(values) > count:
        raise _unparsable(alias)
    if not len(values):
        zero = b"" if values.dtype == object else 0
        return np.full(count, zero, values.dtype)
    return np.concatenate([values, np.full(count - len(values), values[-1], values.dtype)])


def _unparsable(alias: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", f"tensor parsing error: {alias}")
