"""Parses JSON and text protos from users and clients, with a limit on nesting.

A long line of brackets would overflow Python's stack; it is rejected before anything is built.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 100
"""Maximum nesting of lists, objects and messages."""
TOO_DEEP = f"the document nests deeper than {MAX_DEPTH} levels"

_TEXTS = r'"(?:[^"\\]|\\.)*+"?'
_JSON_PARTS = re.compile(rf"{_TEXTS}|[\[{{]|[\]}}]", re.DOTALL)
_PROTO_PARTS = re.compile(
    rf"{_TEXTS}|'(?:[^'\\]|\\.)*+'?|\#[^\n]*|[\[{{<]|[\]}}>]",
    re.DOTALL,
)


def parse_json(text: str) -> Any:
    """Parses a JSON document.

    Raises:
        json.JSONDecodeError: the document is not JSON, or nests too deeply.
    """
    check_json_depth(text)
    return json.loads(text)


def check_json_depth(text: str) -> None:
    """Checks the nesting of a JSON document.

    Raises:
        json.JSONDecodeError: the document nests too deeply.
    """
    _check_depth(text, _JSON_PARTS)


def parse_text_proto(text: str, message: Any, *, allow_unknown_field: bool = False) -> Any:
    """Parses a document in protobuf's text format into a message, and returns the message.

    Args:
        text: the document.
        message: an empty message.
        allow_unknown_field: whether to skip unknown fields.

    Raises:
        google.protobuf.text_format.ParseError: the document is not such a message, or nests too
            deeply.
    """
    from google.protobuf import text_format

    try:
        _check_depth(text, _PROTO_PARTS)
    except json.JSONDecodeError as error:
        raise text_format.ParseError(error.msg, error.lineno, error.colno) from None
    return text_format.Parse(text, message, allow_unknown_field=allow_unknown_field)


def _check_depth(text: str, parts: re.Pattern[str]) -> None:
    if sum(map(text.count, "[{<")) <= MAX_DEPTH:
        return
    depth = 0
    for part in parts.finditer(text):
        if part[0] in "[{<":
            depth += 1
            if depth > MAX_DEPTH:
                raise json.JSONDecodeError(TOO_DEEP, text, part.start())
        elif part[0] in "]}>":
            depth -= 1
