"""The frames that the server exchanges with the processes that read and write its JSON.

A frame is a JSON head and buffers of bytes. Arrays are sent as their memory.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from prodml.serving.values.data_types import Array, aligned_empty, string_array

Bytes: TypeAlias = bytes | bytearray | memoryview
Head: TypeAlias = dict[str, Any]
Buffer: TypeAlias = Sequence[Bytes]
"""The parts of a buffer, in order."""

_LENGTH = struct.Struct(">I")


def send_frame(
    connection: socket.socket, head: Mapping[str, Any], buffers: Iterable[Buffer]
) -> None:
    """Sends a frame. Blocks."""
    whole = list(buffers)
    text = json.dumps({**head, "sizes": [sum(map(len, parts)) for parts in whole]}).encode()
    connection.sendall(_LENGTH.pack(len(text)) + text)
    for parts in whole:
        for part in parts:
            connection.sendall(part)


def receive_frame(connection: socket.socket) -> tuple[Head, list[Array]]:
    """Receives the next frame, with its buffers as arrays of bytes. Blocks.

    Raises:
        EOFError: the other side has closed the connection.
    """
    (length,) = _LENGTH.unpack(_receive(connection, _LENGTH.size).data)
    head: Head = json.loads(bytes(_receive(connection, length)))
    return head, [_receive(connection, size) for size in head.pop("sizes")]


def pack_arrays(arrays: Mapping[str, Array]) -> tuple[list[Head], list[Buffer]]:
    """Returns descriptions of arrays of numbers, booleans or strings, and their buffers."""
    heads: list[Head] = []
    buffers: list[Buffer] = []
    for name, array in arrays.items():
        heads.append({"name": name, "dtype": array.dtype.str, "shape": array.shape})
        if array.dtype == object:
            strings = array.ravel().tolist()
            ends = np.cumsum([len(value) for value in strings], dtype=np.int64)
            buffers += [[_memory(ends)], strings]
        else:
            buffers.append([_memory(array)])
    return heads, buffers


def unpack_arrays(heads: Sequence[Head], buffers: Sequence[Array]) -> dict[str, Array]:
    """Returns the arrays that `pack_arrays` described."""
    left = iter(buffers)
    arrays: dict[str, Array] = {}
    for head in heads:
        buffer = next(left)
        if head["dtype"] == "|O":
            ends, content, start, strings = buffer.view(np.int64), next(left).data, 0, []
            for end in ends.tolist():
                strings.append(bytes(content[start:end]))
                start = end
            array = string_array(strings)
        else:
            array = buffer.view(np.dtype(head["dtype"]))
        arrays[head["name"]] = array.reshape(head["shape"])
    return arrays


def _memory(array: Array) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _receive(connection: socket.socket, size: int) -> Array:
    buffer = aligned_empty(size)
    left = buffer.data
    while len(left):
        received = connection.recv_into(left)
        if not received:
            raise EOFError
        left = left[received:]
    return buffer
