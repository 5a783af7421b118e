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
