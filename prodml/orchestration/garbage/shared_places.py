"""Where runs publish artifacts, and which of these directories others use, too."""

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
    """The place that a URI names below one of the roots; None if it names none."""
    head, id = os.path.split(uri)
    head, output = os.path.split(head)
    root, node = os.path.split(head)
    is_place = root in roots and id.isdecimal() and id.isascii() and node and output
    if not is_place or {node[:1], output[:1]} & {"."}:
        return None
    return Place(root, node, output, int(id))


class Claims:
    """A set of directories in use; a look-up costs the same for many directories as for one.

    Args:
        directories: absolute paths.
    """

    def __init__(self, directories: Iterable[str]) -> None:
        self._claimed = frozenset(directories)
        self._parents = frozenset(parent for each in self._claimed for parent in _parents(each))

    def overlap(self, directory: str) -> bool:
        """Whether a directory is one of the claimed directories, contains one, or is in one."""
        if directory in self._claimed or directory in self._parents:
            return True
        return any(parent in self._claimed for parent in _parents(directory))


def _parents(path: str) -> Iterator[str]:
    """All parent directories of a path, nearest first."""
    folder = os.path.dirname(path)
    while folder != path:
        yield folder
        path, folder = folder, os.path.dirname(folder)
