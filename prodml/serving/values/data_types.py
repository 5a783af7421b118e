"""TensorFlow's data types, and arrays of them, without TensorFlow.

The process that reads and writes large JSON imports this module instead of TensorFlow, which would
take seconds and hundreds of megabytes.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

MAX_DIMENSIONS = 32
"""Maximum dimensions of a numpy array; TensorFlow supports up to 254."""
_ALIGNMENT = 64
_MANY_VALUES = 2_000
_MANY_BYTES = 1 << 16


class DataType(enum.IntEnum):
    """The values of the enum `tensorflow.DataType`."""

    FLOAT = 1
    DOUBLE = 2
    INT32 = 3
    UINT8 = 4
    INT16 = 5
    INT8 = 6
    STRING = 7
    COMPLEX64 = 8
    INT64 = 9
    BOOL = 10
    QINT8 = 11
    QUINT8 = 12
    QINT32 = 13
    BFLOAT16 = 14
    QINT16 = 15
    QUINT16 = 16
    UINT16 = 17
    COMPLEX128 = 18
    HALF = 19
    RESOURCE = 20
    VARIANT = 21
    UINT32 = 22
    UINT64 = 23
    FLOAT8_E5M2 = 24
    FLOAT8_E4M3FN = 25
    INT4 = 29
    UINT4 = 30


def string_array(values: Sequence[bytes]) -> Array:
    """Creates a string tensor of shape [len(values)] with dtype object, because numpy's bytes type
    drops trailing zero bytes."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def aligned_empty(size: int) -> Array:
    """Allocates bytes with the alignment that TensorFlow needs to use an array without a copy; it
    holds the GIL while it copies."""
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size]


def is_large(array: Array) -> bool:
    """Whether writing an array's values, as text or protos, takes more than a millisecond."""
    if array.size > _MANY_VALUES:
        return True
    return array.dtype == object and sum(map(len, array.flat)) > _MANY_BYTES
