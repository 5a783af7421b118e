"""Splits a serialized message into its fields by protobuf's wire format.

protobuf's own parser holds the GIL until it has copied a whole message, so a message of 64 MB would
block every other request for that long. A message that is split into its fields can be parsed part
by part, and arrays of numbers need no copy at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from google.protobuf.message import DecodeError

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Wire types."""
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
_LONGEST_VARINT = 10

Bytes: TypeAlias = bytes | memoryview
Field: TypeAlias = tuple[int, int, int, int, int]
"""Number, wire type, and three positions: the start of the tag, the start of the value (after the
length, if there is one), and the end of the value."""


def fields(message: memoryview) -> Iterator[Field]:
    """Yields the fields of a serialized message, in order, without copying.

    Raises:
        DecodeError: the message is malformed, or has groups, which TensorFlow's messages lack.
    """
    position, end = 0, len(message)
    while position < end:
        start = position
        tag, position = _read_varint(message, position)
        wire_type = tag & 7
        value_start = position
        if wire_type == LENGTH:
            size, value_start = _read_varint(message, position)
            position = value_start + size
        elif wire_type == VARINT:
            _, position = _read_varint(message, position)
        elif wire_type in _FIXED_SIZES:
            position += _FIXED_SIZES[wire_type]
        else:
            raise DecodeError(f"a field at byte {start} has wire type {wire_type}")
        if position > end or tag < 8:
            raise DecodeError(f"a field at byte {start} is truncated or has no number")
        yield tag >> 3, wire_type, start, value_start, position


def packed_pieces(value: memoryview, size: int) -> Iterator[memoryview]:
    """Splits packed varints between numbers into pieces of about `size` bytes.

    Raises:
        DecodeError: a number is too long.
    """
    position = 0
    while position < len(value):
        end = min(position + size, len(value))
        last = max(position, end - _LONGEST_VARINT)
        while end < len(value) and value[end - 1] > 0x7F:
            end -= 1
            if end == last:
                raise DecodeError("a packed number is too long")
        yield value[position:end]
        position = end


def length_field(number: int, parts: Sequence[Bytes]) -> list[Bytes]:
    """Encodes a LENGTH field whose value is the concatenation of the parts."""
    return [varint(number << 3 | LENGTH) + varint(sum(map(len, parts))), *parts]


def varint(value: int) -> bytes:
    """Encodes a number of at most 64 bits as a varint."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    try:
        while (byte := message[position]) > 0x7F:
            value |= (byte & 0x7F) << shift
            shift += 7
            position += 1
            if shift == 7 * _LONGEST_VARINT:
                raise DecodeError(f"a number at byte {position} is too long")
    except IndexError:
        raise DecodeError("a number at the end is truncated") from None
    return value | byte << shift, position + 1
