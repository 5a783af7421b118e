"""Reads a schema that a person wrote, and says where it is wrong."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from prodml.documents import parse_text_proto
from prodml.errors import InputDataError

_POSITION = re.compile(r"^(\d+):(\d+) : (.*)$", re.DOTALL)


def read_schema_file(path: str) -> str:
    """The text of a schema file, checked.

    Raises:
        InputDataError: there is no such file, or it is not a schema that can be used; names the
            file and the line.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        raise InputDataError(f"schema file {path} does not exist") from None
    except IsADirectoryError:
        raise InputDataError(f"schema file {path} is a directory; name the file in it") from None
    except UnicodeDecodeError as error:
        raise InputDataError(
            f"schema file {path} is not UTF-8 text (byte {error.start}); "
            f"it must be a text proto, as SchemaGen's schema.pbtxt is"
        ) from error
    try:
        schema = parse_text_proto(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        raise InputDataError(_malformed(path, str(error))) from error
    _check(path, text, schema)
    return text


def _malformed(path: str, message: str) -> str:
    at = _POSITION.match(message)
    where, what = (f"{path}:{at[1]}:{at[2]}", at[3]) if at else (path, message)
    return f"{where}: not a text tensorflow_metadata Schema: {what}"


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
