"""The wire format of protobuf, as far as it takes to cut a serialized message between its fields.

protobuf's own parser holds the interpreter's lock until it has copied a whole message. A message
of 64 MB would stop every other request for that long. Cut into its fields, its parts can be read
one by one, and arrays of numbers need no copy at all.
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
"""Number, wire type, and three positions: where the tag begins, where the value begins (behind the
length, if there is one), and where it ends."""


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a serialized message, in order; nothing is copied.

    Raises:
        DecodeError: it is malformed, or has groups, which TensorFlow's messages do not have.
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
            raise DecodeError(f"a field at byte {start} is cut off or has no number")
        yield tag >> 3, wire_type, start, value_start, position


def packed_pieces(value: memoryview, size: int) -> Iterator[memoryview]:
    """Packed varints in pieces of about `size` bytes, none of which cuts a number.

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
    """A LENGTH field whose value is the parts one behind the other."""
    return [varint(number << 3 | LENGTH) + varint(sum(map(len, parts))), *parts]


def varint(value: int) -> bytes:
    """A number of at most 64 bits, as tags and lengths are written."""
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
        raise DecodeError("a number is cut off at the end") from None
    return value | byte << shift, position + 1
