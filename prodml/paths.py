"""Whether a path stays below a directory, links included."""

from __future__ import annotations

import os
from collections.abc import Iterable


def inside(root: str, path: str) -> bool:
    """Whether a path, all links followed, is a directory or lies below it.

    Args:
        root: the directory; it may itself be reached by links.
        path: absolute, or relative to the working directory; need not exist.
    """
    below, real = os.path.realpath(root), os.path.realpath(path)
    return real == below or real.startswith(below.rstrip(os.sep) + os.sep)


def inside_any(roots: Iterable[str], path: str) -> bool:
    """Whether a path is inside one of some directories."""
    return any(inside(root, path) for root in roots)


def leading_out(directory: str) -> str | None:
    """The first link in a directory, by path, that leads out of it; None where there is none.

    What reads or copies a directory that others have written asks this before: a link in it can
    stand for any file of the machine. Links between its own files are no harm.

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
