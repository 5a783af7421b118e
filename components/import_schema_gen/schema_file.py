"""Reads a schema that a person wrote, and says where it is wrong."""

from __future__ import annotations

import re
from typing import Any

from prodml.data.schemas import parse_schema, schema_text
from prodml.errors import InputDataError


def read_schema_file(path: str) -> str:
    """The text of a schema file, checked.

    Raises:
        InputDataError: there is no such file, or it is not a schema that can be used; names the
            file and the line.
    """
    text = schema_text(path)
    _check(path, text, parse_schema(text, path))
    return text


def _check(path: str, text: str, schema: Any) -> None:
    if not schema.feature:
        raise InputDataError(f"schema file {path} has no feature; it describes nothing")
    domains = {d.name for d in schema.string_domain} | {d.name for d in schema.int_domain}
    domains |= {d.name for d in schema.float_domain}
    seen: set[str] = set()
    for number, feature in enumerate(schema.feature, start=1):
        if not feature.name:
            raise InputDataError(f"schema file {path}: feature number {number} has no name")
        if feature.name in seen:
            line = _last_line_of(text, "name", feature.name)
            raise InputDataError(f"{path}:{line}: feature {feature.name!r} is there twice")
        seen.add(feature.name)
        if feature.domain and feature.domain not in domains:
            line = _last_line_of(text, "domain", feature.domain)
            raise InputDataError(
                f"{path}:{line}: feature {feature.name!r} has the domain {feature.domain!r}, "
                f"which the file does not define; it defines {sorted(domains) or 'none'}"
            )


def _last_line_of(text: str, field: str, value: str) -> int:
    # Inside a feature: a domain may bear the same name.
    inside = rf"\bfeature\s*:?\s*{{[^{{}}]*?\b{field}\s*:\s*[\"']{re.escape(value)}[\"']"
    ends = [match.end() for match in re.finditer(inside, text)]
    return text.count("\n", 0, ends[-1] if ends else 0) + 1
