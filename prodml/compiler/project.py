"""The project that a pipeline's file is part of, and paths that mean the same in each checkout."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

_MARKERS = ("pyproject.toml", "setup.py", "setup.cfg", ".git")
_PROJECT = "${project}"
_WRITTEN = re.compile(r"\$+\{project\}(?=/|$)")


def project_of(file: str) -> str:
    """The directory of a file's project: the nearest that says so, or else the file's own.

    One that holds `pyproject.toml`, `setup.py`, `setup.cfg` or `.git` says so.
    """
    directory = Path(file).resolve().parent
    for candidate in (directory, *directory.parents):
        if any((candidate / marker).exists() for marker in _MARKERS):
            return str(candidate)
    return str(directory)


def relative_paths(value: Any, project: str) -> Any:
    """A JSON value in which texts that start with a path in the project start with `${project}`."""

    def portable(text: str) -> str:
        if text == project or text.startswith(f"{project}/"):
            return f"{_PROJECT}{text.removeprefix(project)}"
        # A text that happens to read so stays what it is.
        return f"${text}" if _WRITTEN.match(text) else text

    return _mapped(value, portable)


def absolute_paths(value: Any, project: str) -> Any:
    """The JSON value that `relative_paths` was given, with the project in another directory."""

    def resolved(text: str) -> str:
        if text == _PROJECT or text.startswith(f"{_PROJECT}/"):
            return f"{project}{text.removeprefix(_PROJECT)}"
        return text[1:] if _WRITTEN.match(text) else text

    return _mapped(value, resolved)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(item, change) for item in value]
    return value
