"""Checks that paths stay inside a directory, after following symbolic links."""

from __future__ import annotations

import os
from collections.abc import Iterable


def inside(root: str, path: str) -> bool:
    """Whether a path is a directory or below it, after following all symbolic links.

    Args:
        root: the directory; may be a symbolic link.
        path: absolute, or relative to the working directory; need not exist.
    """
    below, real = os.path.realpath(root), os.path.realpath(path)
    return real == below or real.startswith(below.rstrip(os.sep) + os.sep)


def inside_any(roots: Iterable[str], path: str) -> bool:
    """Whether a path is inside at least one of the directories."""
    return any(inside(root, path) for root in roots)


def first_link_outside(directory: str) -> str | None:
    """The first symbolic link, by path, to a place outside of a directory; None if there is none.

    Call this before reading or copying a directory that others have written, because a link in it
    can refer to any file of the machine. Links between the directory's own files are safe.

    Raises:
        OSError: the directory cannot be read.
    """
    pending = [directory]
    found = []
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    if not inside(directory, entry.path):
                        found.append(os.path.relpath(entry.path, directory))
                elif entry.is_dir():
                    pending.append(entry.path)
    return min(found, default=None)
