"""Locations of declarations in the author's files."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

_PACKAGE = Path(__file__).resolve().parent.parent
_OWN_CODE = (str(_PACKAGE), str(_PACKAGE.parent / "components"))


@dataclass(frozen=True)
class SourceLocation:
    """A line of the author's code."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def author_location() -> SourceLocation:
    """Returns the innermost line on the call stack that is not prodml's own code."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_own(frame):
        frame = frame.f_back
    return SourceLocation(frame.f_code.co_filename, frame.f_lineno)


def _is_own(frame: FrameType) -> bool:
    if frame.f_code.co_filename == "<string>":
        # Methods that `dataclass` generates.
        return str(frame.f_globals.get("__name__")).startswith("prodml.")
    return frame.f_code.co_filename.startswith(_OWN_CODE)
