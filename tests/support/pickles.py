"""Finds pickles in files, including archives, record files and compressed files."""

from __future__ import annotations

import gzip
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np


def pickles_under(directory: Path) -> list[str]:
    """The paths of all files that contain a pickle, with the member or record."""
    return [
        f"{path.relative_to(directory)}{part}"
        for path in sorted(directory.rglob("*"))
        if path.is_file()
        for part, content in _parts(path)
        if is_pickle(content)
    ]


def is_pickle(content: bytes) -> bool:
    """Whether bytes are one complete pickle of any protocol with more than two operations.

    A text such as `N.` is a pickle with two operations by chance.
    """
    try:
        operations = list(pickletools.genops(content))
    except Exception:
        # The content is not a pickle: genops ends at STOP, and raises many types of errors.
        return False
    last, _, position = operations[-1]
    return last.name == "STOP" and position == len(content) - 1 and len(operations) > 2


def _parts(path: Path) -> Iterator[tuple[str, bytes]]:
    content = path.read_bytes()
    yield "", content
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
        yield " (unpacked)", content
    yield from ((f" (record {n})", record) for n, record in enumerate(_records(content)))
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield f" ({name})", archive.read(name)
    if content[:6] == b"\x93NUMPY" and _holds_objects(path):
        yield " (array of objects)", b"\x80\x04N."


def _records(content: bytes) -> Iterator[bytes]:
    """The records of a TFRecord file; none unless the whole content is one."""
    found, position = [], 0
    while position + 16 <= len(content):
        size = int.from_bytes(content[position : position + 8], "little")
        if position + 16 + size > len(content):
            return
        found.append(content[position + 12 : position + 12 + size])
        position += 16 + size
    if position == len(content):
        yield from found


def _holds_objects(path: Path) -> bool:
    try:
        np.load(path, allow_pickle=False)
    except ValueError:
        return True
    return False
