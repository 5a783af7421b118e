"""Reads and writes TFRecord frames without TensorFlow's runtime.

A record is its length (uint64), the masked CRC-32C of that, the bytes, and their masked CRC-32C
(`tensorflow/core/lib/io/record_reader.cc`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

import crcmod.predefined  # type: ignore[import-untyped]

_crc32c = crcmod.predefined.mkPredefinedCrcFun("crc-32c")
_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")


class DamagedRecordError(Exception):
    """A record is truncated or corrupted; the records before it are intact.

    Args:
        offset: offset of the record's start, in bytes.
        message: TensorFlow's error message.
    """

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset


def framed(record: bytes) -> bytes:
    """Returns the record with its frame, as in a file."""
    length = struct.pack("<Q", len(record))
    return b"".join(
        (length, _FOOTER.pack(_masked_crc(length)), record, _FOOTER.pack(_masked_crc(record)))
    )


def read_records(path: str) -> Iterator[bytes]:
    """Yields the records of a file, in order.

    Raises:
        DamagedRecordError: at the first record that is truncated or corrupted.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        offset = 0
        while (record := _read_record(file, offset)) is not None:
            yield record
            offset += _HEADER.size + len(record) + _FOOTER.size


def _read_record(file: BinaryIO, offset: int) -> bytes | None:
    header = file.read(_HEADER.size)
    if not header:
        return None
    if len(header) < _HEADER.size:
        raise DamagedRecordError(offset, f"truncated record at {offset}")
    length, checksum = _HEADER.unpack(header)
    # Check the length's checksum first: a corrupted length could request all memory.
    if _masked_crc(header[:8]) != checksum:
        raise DamagedRecordError(offset, f"corrupted record at {offset}")
    rest = file.read(length + _FOOTER.size)
    if len(rest) < length + _FOOTER.size:
        raise DamagedRecordError(offset, f"truncated record at {offset}")
    record = rest[:length]
    if _masked_crc(record) != _FOOTER.unpack(rest[length:])[0]:
        raise DamagedRecordError(offset, f"corrupted record at {offset}")
    return record


def _masked_crc(data: bytes) -> int:
    crc: int = _crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
