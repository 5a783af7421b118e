"""The rule for names that become parts of paths: pipelines, nodes, outputs, splits, models."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 63
"""ML Metadata limits an artifact's name to 255 characters: three such names and a run id."""

RULE: Final = (
    f"use at most {LONGEST} letters, digits, '_' and '-', with a letter, a digit or '_' first"
)

_NAME: Final = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_-]{{0,{LONGEST - 1}}}")


def is_name(text: object) -> bool:
    """Whether a text follows RULE, so that it is a single, safe component of a path."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None
