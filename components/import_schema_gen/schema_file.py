"""Reads and checks a schema file, and reports errors with file and line."""

from __future__ import annotations

import re
from typing import Any

from prodml.data.schemas import parse_schema, schema_text
from prodml.errors import InputDataError


def read_schema_file(path: str) -> str:
    """Reads a schema file, checks it, and returns its text.

    Raises:
        InputDataError: the file does not exist or its schema is invalid; the message names the
            file and the line.
    """
    text = schema_text(path)
    _check(path, text, parse_schema(text, path))
    return text


def _check(path: str, text: str, schema: Any) -> None:
    if not schema.feature:
        raise InputDataError(f"schema file {path} declares no feature; add at least one")
    domains = {d.name for d in schema.string_domain} | {d.name for d in schema.int_domain}
    domains |= {d.name for d in schema.float_domain}
    seen: set[str] = set()
    for number, feature in enumerate(schema.feature, start=1):
        if not feature.name:
            raise InputDataError(f"schema file {path}: feature number {number} has no name")
        if feature.name in seen:
            line = _last_line_of(text, "name", feature.name)
            raise InputDataError(f"{path}:{line}: feature {feature.name!r} is declared twice")
        seen.add(feature.name)
        if feature.domain and feature.domain not in domains:
            line = _last_line_of(text, "domain", feature.domain)
            raise InputDataError(
                f"{path}:{line}: feature {feature.name!r} has the domain {feature.domain!r}, "
                f"which the file does not define; it defines {sorted(domains) or 'none'}"
            )


def _last_line_of(text: str, field: str, value: str) -> int:
    # Matches only inside a feature, because a domain may have the same name.
    inside = rf"\bfeature\s*:?\s*{{[^{{}}]*?\b{field}\s*:\s*[\"']{re.escape(value)}[\"']"
    ends = [match.end() for match in re.finditer(inside, text)]
    return text.count("\n", 0, ends[-1] if ends else 0) + 1
