"""The project that contains a pipeline file, and paths that are the same in every checkout."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

_MARKERS = ("pyproject.toml", "setup.py", "setup.cfg", ".git")
_PROJECT = "${project}"
_PLACEHOLDER = re.compile(r"\$+\{project\}(?=/|$)")


def project_of(file: str) -> str:
    """Returns the project directory of a file.

    This is the nearest directory with `pyproject.toml`, `setup.py`, `setup.cfg` or `.git`, or the
    file's own directory if no parent has one of these.
    """
    directory = Path(file).resolve().parent
    for candidate in (directory, *directory.parents):
        if any((candidate / marker).exists() for marker in _MARKERS):
            return str(candidate)
    return str(directory)


def relative_paths(value: Any, project: str) -> Any:
    """Replaces the project directory at the start of texts in a JSON value by `${project}`."""

    def portable(text: str) -> str:
        if text == project or text.startswith(f"{project}/"):
            return f"{_PROJECT}{text.removeprefix(project)}"
        # Escape a text that starts with the placeholder itself.
        return f"${text}" if _PLACEHOLDER.match(text) else text

    return _mapped(value, portable)


def absolute_paths(value: Any, project: str) -> Any:
    """Reverses `relative_paths`, for a project that may be in another directory now."""

    def resolved(text: str) -> str:
        if text == _PROJECT or text.startswith(f"{_PROJECT}/"):
            return f"{project}{text.removeprefix(_PROJECT)}"
        return text[1:] if _PLACEHOLDER.match(text) else text

    return _mapped(value, resolved)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(item, change) for item in value]
    return value
