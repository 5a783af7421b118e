"""Finds the input files of spans and versions by TFX's patterns.

`{SPAN}` and `{VERSION}` in a pattern match numbers (`{SPAN:2}` matches exactly two digits), `*`
matches any text within a directory. The source of the format is TFX's ExampleGen.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from prodml.errors import InputDataError
from prodml.paths import inside
from prodml.storage import objects
from prodml.storage.locations import is_url, join

_FIELD = re.compile(r"\{(SPAN|VERSION)(?::(\d+))?\}")


@dataclass(frozen=True)
class SpanFile:
    """A file that matches a pattern; span and version are 0 if the pattern has none."""

    path: str
    span: int
    version: int


def matching_files(base: str, pattern: str) -> list[SpanFile]:
    """The files under a directory or URL that match a pattern, sorted by span, version and path.

    Names that start with a dot are skipped.

    Raises:
        InputDataError: the directory does not exist, no file matches, or a file is a symbolic link
            to a place outside of the directory.
    """
    if not is_url(base) and not os.path.isdir(base):
        raise InputDataError(f"input_base {base!r} is not a directory")
    expression = _expression(pattern)
    found = []
    for name in _names_at_url(base) if is_url(base) else _names(base, pattern):
        match = expression.fullmatch(name)
        if match:
            numbers = match.groupdict()
            span, version = int(numbers.get("SPAN") or 0), int(numbers.get("VERSION") or 0)
            found.append(SpanFile(join(base, name), span, version))
    if not found:
        raise InputDataError(
            f"no files match {pattern!r} under {base!r}, which contains: {_listing(base)}"
        )
    return sorted(found, key=lambda file: (file.span, file.version, file.path))


def _names(base: str, pattern: str) -> list[str]:
    """Paths, relative to the directory, of files that may match."""
    wildcard = os.path.join(glob.escape(base), _FIELD.sub("*", pattern))
    found = [path for path in glob.glob(wildcard, recursive=True) if os.path.isfile(path)]
    for path in found:
        if not inside(base, path):
            raise InputDataError(
                f"{path} is a symbolic link that leaves input_base; copy the file there, or set "
                f"input_base to the directory of the file"
            )
    return [os.path.relpath(path, base) for path in found]


def _names_at_url(base: str) -> list[str]:
    """Paths, relative to the URL, of files that may match."""
    names = objects.listing(base)
    return [name for name in names if not any(s.startswith(".") for s in name.split("/"))]


def latest_versions(files: Sequence[SpanFile]) -> list[SpanFile]:
    """The files of each span's highest version."""
    highest: dict[int, int] = {}
    for file in files:
        highest[file.span] = max(highest.get(file.span, 0), file.version)
    return [file for file in files if file.version == highest[file.span]]


def _expression(pattern: str) -> re.Pattern[str]:
    parts, position = [], 0
    seen: set[str] = set()
    for field in _FIELD.finditer(pattern):
        parts.append(_glob_expression(pattern[position : field.start()]))
        name, width = field.groups()
        digits = f"[0-9]{{{width}}}" if width else "[0-9]+"
        parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{digits})")
        seen.add(name)
        position = field.end()
    parts.append(_glob_expression(pattern[position:]))
    return re.compile("".join(parts))


def _glob_expression(text: str) -> str:
    escaped = re.escape(os.path.normpath(text) if text == "./" else text)
    return escaped.replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")


def _listing(base: str) -> str:
    names = sorted(objects.listing(base) if is_url(base) else os.listdir(base))
    shown = ", ".join(names[:5]) or "nothing"
    return shown + (f", and {len(names) - 5} more" if len(names) > 5 else "")
