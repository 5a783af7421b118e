"""TensorFlow's data types, and arrays of them, without TensorFlow.

The process that reads and writes large JSON imports this instead of TensorFlow, which would take it
seconds and hundreds of megabytes.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

MAX_DIMENSIONS = 32
"""Of an array in numpy; TensorFlow has up to 254."""
_ALIGNMENT = 64
_MANY_VALUES = 2_000
_MANY_BYTES = 1 << 16


class DataType(enum.IntEnum):
    """The numbers of `tensorflow.DataType`."""

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
    """A string tensor of shape [len(values)]: numpy would cut zero bytes off the ends."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def aligned_empty(size: int) -> Array:
    """Bytes to be filled, where TensorFlow takes an array as it is; others it copies, while no
    other thread can run."""
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size]


def is_large(array: Array) -> bool:
    """Whether to write an array's values, as text or protos, takes more than a millisecond."""
    if array.size > _MANY_VALUES:
        return True
    return array.dtype == object and sum(map(len, array.flat)) > _MANY_BYTES
