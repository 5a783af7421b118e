"""The one rule for names that become parts of paths: pipelines, nodes, outputs, splits, models."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 63
"""ML Metadata keeps 255 characters of an artifact's name, which three such names and a run make."""

RULE: Final = (
    f"use at most {LONGEST} letters, digits, '_' and '-', with a letter, a digit or '_' first"
)

_NAME: Final = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_-]{{0,{LONGEST - 1}}}")


def is_name(text: object) -> bool:
    """Whether a text follows RULE: it is then one step of a path, and leads nowhere else."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None
