"""Syncs files and directories to disk, so that they survive a crash."""

from __future__ import annotations

import os


def sync(path: str) -> None:
    """Syncs a file, or a directory's list of names, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: str) -> None:
    """Creates a directory and its missing parents, and syncs their names to disk."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        os.makedirs(directory, exist_ok=True)
        sync(os.path.dirname(directory))
