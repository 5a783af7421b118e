"""Where runs publish artifacts, and which of these places are somebody else's, too."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where a run published an artifact: `<root>/<node>/<output>/<execution id>`."""

    root: str
    node: str
    output: str
    execution_id: int


def place_of(uri: str, roots: Iterable[str]) -> Place | None:
    """The place that a URI names below one of some roots, or None."""
    head, id = os.path.split(uri)
    head, output = os.path.split(head)
    root, node = os.path.split(head)
    is_place = root in roots and id.isdecimal() and id.isascii() and node and output
    if not is_place or {node[:1], output[:1]} & {"."}:
        return None
    return Place(root, node, output, int(id))


class Claims:
    """Directories that are somebody's; as quick to ask for many of them as for one.

    Args:
        directories: absolute paths.
    """

    def __init__(self, directories: Iterable[str]) -> None:
        self._claimed = frozenset(directories)
        self._around = frozenset(above for each in self._claimed for above in _above(each))

    def meet(self, directory: str) -> bool:
        """Whether a directory is one of them, holds one, or lies in one."""
        if directory in self._claimed or directory in self._around:
            return True
        return any(above in self._claimed for above in _above(directory))


def _above(path: str) -> Iterator[str]:
    """The directories that a path lies in, nearest first."""
    folder = os.path.dirname(path)
    while folder != path:
        yield folder
        path, folder = folder, os.path.dirname(folder)
