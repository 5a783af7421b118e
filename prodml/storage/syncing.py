"""What must survive a crash is on the disk before it is relied upon."""

from __future__ import annotations

import os


def sync(path: str) -> None:
    """Returns when a file, or a directory's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: str) -> None:
    """Makes a directory and its missing parents; returns when their names are on the disk."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        os.makedirs(directory, exist_ok=True)
        sync(os.path.dirname(directory))
