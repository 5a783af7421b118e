"""Reads schemas in protobuf's text format, and reports errors with line and column."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prodml.documents import parse_text_proto
from prodml.errors import InputDataError

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0.schema_pb2 import Schema

_POSITION = re.compile(r"^(\d+):(\d+) : (.*)$", re.DOTALL)


def read_schema(path: str) -> Schema:
    """Reads and parses a schema file.

    Raises:
        InputDataError: the file cannot be read, or is not a schema.
    """
    return parse_schema(schema_text(path), path)


def schema_text(path: str) -> str:
    """Reads the text of a schema file.

    Raises:
        InputDataError: the file cannot be read, or is not UTF-8 text.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        raise InputDataError(f"schema file {path} does not exist") from None
    except IsADirectoryError:
        raise InputDataError(
            f"schema file {path} is a directory; use the path of the file in it"
        ) from None
    except OSError as error:
        raise InputDataError(f"schema file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputDataError(
            f"schema file {path} is not UTF-8 text (byte {error.start}); "
            f"it must be a text proto, such as SchemaGen's schema.pbtxt"
        ) from error


def parse_schema(text: str, path: str) -> Schema:
    """Parses a schema.

    Args:
        text: a Schema in protobuf's text format.
        path: path of the file, for messages.

    Raises:
        InputDataError: the text is not a schema; the message names line and column.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        schema: Schema = parse_text_proto(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        at = _POSITION.match(str(error))
        where, what = (f"{path}:{at[1]}:{at[2]}", at[3]) if at else (path, str(error))
        raise InputDataError(f"{where}: not a text tensorflow_metadata Schema: {what}") from error
    return schema
