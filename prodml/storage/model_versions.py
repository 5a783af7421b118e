"""Finds the versions of a model in a directory, whose names are whole numbers."""

from __future__ import annotations

import os

_LARGEST = 2**63 - 1


def versions_on_disk(base_path: str) -> dict[int, str]:
    """The directories of all versions by number.

    Names that are not whole numbers of 64 bits are skipped, so a version that is still being copied
    under another name is not included. If two names have the same number, the alphabetically last
    one is used, as in TF Serving.

    Raises:
        OSError: the base path does not exist or cannot be read.
    """
    found: dict[int, str] = {}
    with os.scandir(base_path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.isascii() and entry.name.isdigit() and entry.is_dir():
                found[int(entry.name)] = entry.path
    return {number: path for number, path in found.items() if number <= _LARGEST}
