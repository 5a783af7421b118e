"""Converts TensorProto to numpy arrays and back, fast and by TensorFlow's rules.

`tf.make_ndarray` and `tf.make_tensor_proto` take several times as long as the call of a small
model, and do not check their input, but a request may declare any shape.
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
from prodml.serving.values.data_types import MAX_DIMENSIONS, Array, string_array

_LARGEST_ARRAY = (1 << 63) - 1
_LARGEST_FILLED = 16 << 20
"""Maximum bytes of elements that a request's tensors declare but do not contain."""
_STRING = 24
"""Bytes that TensorFlow needs for a string in addition to its content."""


@dataclass(frozen=True)
class _Field:
    """How the values of a data type are stored in a TensorProto."""

    dtype: np.dtype[Any]
    name: str
    decode: Callable[[Array], Array] | None = None
    encode: Callable[[Array], Any] | None = None


def _bits(dtype: Any) -> _Field:
    """Returns the field of a 16-bit float type, which is stored as integers with the same bits."""
    kind = np.dtype(dtype)
    return _Field(
        kind,
        "half_val",
        lambda values: values.astype(np.uint16).view(kind),
        lambda array: array.view(np.uint16).tolist(),
    )


def _narrow(dtype: Any) -> _Field:
    """Returns the field of a narrow integer type, which is stored as wider integers. Larger values
    are truncated, as in TensorFlow."""
    kind = np.dtype(dtype)
    return _Field(kind, "int_val", lambda values: values.astype(kind))


def _complex(dtype: Any, part: Any, name: str) -> _Field:
    """Returns the field of a complex type, stored as alternating real and imaginary parts."""
    return _Field(
        np.dtype(dtype),
        name,
        lambda values: values.view(dtype),
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
_RAW: dict[str, Any] = {
    "half_val": np.int32,
    "int_val": np.int32,
    "scomplex_val": np.float32,
    "dcomplex_val": np.float64,
}
"""The type of a field's raw values, if it differs from the type of the elements."""
_TYPES = {field.dtype: number for number, field in _FIELDS.items()}


class Filled:
    """Counts the bytes that the tensors of one request declare but do not contain.

    Args:
        hold: called with the number of bytes before they are allocated.
    """

    def __init__(self, hold: Callable[[int], None] | None = None) -> None:
        self._hold = hold
        self.size = 0
        """Number of bytes so far."""

    def add(self, size: int, alias: str) -> None:
        """Counts bytes of a tensor.

        Raises:
            ServingError: INVALID_ARGUMENT, the request exceeds the limit. Without a limit, a
                request of a few bytes could declare tensors of any size.
        """
        self.size += size
        if self.size > _LARGEST_FILLED:
            raise _unparsable(
                alias, f"declares {self.size} bytes that the request does not contain"
            )
        if self._hold is not None:
            self._hold(size)


@dataclass(slots=True)
class TensorHead:
    """The type and shape that a TensorProto declares, checked against numpy's limits.

    Attributes:
        alias: name of the input, for error messages.
        dtype: type of the elements; object for strings.
        field: name of the TensorProto's field for values of this type.
        shape: sizes of the dimensions.
        count: number of elements of this shape.
    """

    alias: str
    dtype: np.dtype[Any]
    field: str
    shape: Sequence[int]
    count: int
    _decode: Callable[[Array], Array] | None

    @classmethod
    def of(cls, proto: tensor_pb2.TensorProto, alias: str) -> TensorHead:
        """Reads the head of a TensorProto without its values.

        Raises:
            ServingError: INVALID_ARGUMENT, TensorFlow or numpy does not support such tensors.
        """
        field = _FIELDS.get(proto.dtype)
        shape = [dim.size for dim in proto.tensor_shape.dim]
        if field is None or proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
            raise _unparsable(alias)
        if len(shape) > MAX_DIMENSIONS:
            raise _unparsable(
                alias, f"{len(shape)} dimensions; at most {MAX_DIMENSIONS} are supported"
            )
        count = math.prod(shape)
        # numpy's rule for the maximum size, which counts an empty dimension as one.
        extent = count or math.prod(size or 1 for size in shape)
        if extent * field.dtype.itemsize > _LARGEST_ARRAY:
            raise _unparsable(alias, f"shape {shape} is too large")
        return cls(alias, field.dtype, field.name, shape, count, field.decode)

    def of_content(self, content: Any) -> Array:
        """Creates the tensor from bytes, as in `tensor_content`.

        Raises:
            ServingError: INVALID_ARGUMENT, the number of bytes does not match the shape.
        """
        if len(content) != self.count * self.dtype.itemsize:
            raise _unparsable(self.alias)
        return np.frombuffer(content, self.dtype).reshape(self.shape)

    def of_values(self, values: Array, filled: Filled) -> Array:
        """Creates the tensor from values; the last value fills the rest, as in TensorFlow.

        Raises:
            ServingError: INVALID_ARGUMENT, there are more values than the shape has elements, or
                far fewer.
        """
        if len(values) != self.count:
            if len(values) > self.count:
                raise _unparsable(self.alias)
            filler: Any = values[-1] if len(values) else b"" if self.dtype == object else 0
            size = len(filler) + _STRING if self.dtype == object else self.dtype.itemsize
            rest = self.count - len(values)
            filled.add(rest * size, self.alias)
            values = np.concatenate([values, np.full(rest, filler, values.dtype)])
        return values.reshape(self.shape)

    def raw(self, proto: tensor_pb2.TensorProto) -> Array:
        """Returns the raw values in the field of this type, in one dimension."""
        values = getattr(proto, self.field)
        if self.dtype == object:
            return string_array(values)
        return np.array(values, _RAW.get(self.field, self.dtype))

    def decode(self, raw: Array) -> Array:
        """Converts raw values to elements of this type.

        Raises:
            ServingError: INVALID_ARGUMENT, half of a complex number is missing.
        """
        try:
            return self._decode(raw) if self._decode else raw
        except ValueError:  # half of a complex number
            raise _unparsable(self.alias) from None


def to_array(proto: tensor_pb2.TensorProto, alias: str, filled: Filled | None = None) -> Array:
    """Converts a TensorProto to an array; strings are bytes in an object array.

    Args:
        proto: the tensor, with its values in `tensor_content` or in the field of its type.
        alias: name of the input, for error messages.
        filled: counts the bytes that the tensor declares but does not contain; by default for this
            tensor only.

    Raises:
        ServingError: INVALID_ARGUMENT, TensorFlow would not parse the tensor either, or numpy does
            not support such arrays.
    """
    head = TensorHead.of(proto, alias)
    # Each access to the field copies it.
    content = proto.tensor_content
    if content and head.dtype != object:
        return head.of_content(content)
    return head.of_values(head.decode(head.raw(proto)), filled or Filled())


def to_proto(array: Array) -> tensor_pb2.TensorProto:
    """Returns a TensorProto with the values in the field of their type, as TF Serving answers."""
    proto = tensor_pb2.TensorProto()
    fill_proto(proto, array)
    return proto


def fill_proto(proto: tensor_pb2.TensorProto, array: Array) -> None:
    """Fills an empty TensorProto with what `to_proto` returns."""
    fill_head(proto, array)
    fill_values(proto, array)


def fill_values(proto: tensor_pb2.TensorProto, array: Array) -> None:
    """Adds an array's values to the field of their type."""
    field = _FIELDS[type_number(array)]
    flat = array.ravel()
    getattr(proto, field.name).extend(field.encode(flat) if field.encode else flat.tolist())


def fill_head(proto: tensor_pb2.TensorProto, array: Array) -> None:
    """Sets the type and shape of a TensorProto."""
    proto.dtype = type_number(array)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)


def to_content_proto(array: Array) -> tensor_pb2.TensorProto:
    """Returns a TensorProto with the values as bytes in `tensor_content`, or strings in their
    field."""
    if array.dtype == object:
        return to_proto(array)
    proto = tensor_pb2.TensorProto(tensor_content=array.tobytes())
    fill_head(proto, array)
    return proto


def type_number(array: Array) -> int:
    """Returns TensorFlow's number of an array's data type.

    Raises:
        ServingError: TensorProto does not support such values.
    """
    try:
        return _TYPES[array.dtype]
    except KeyError:
        raise ServingError(
            "UNIMPLEMENTED", f"the model returned values of the unsupported type {array.dtype}"
        ) from None


def _unparsable(alias: str, detail: str = "") -> ServingError:
    return ServingError(
        "INVALID_ARGUMENT", f"tensor parsing error: {alias}{detail and f': {detail}'}"
    )
