"""Schemas in protobuf's text format, and where one is wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prodml.documents import parse_text_proto
from prodml.errors import InputDataError

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0.schema_pb2 import Schema

_POSITION = re.compile(r"^(\d+):(\d+) : (.*)$", re.DOTALL)


def read_schema(path: str) -> Schema:
    """The schema in a file.

    Raises:
        InputDataError: as `schema_text` and `parse_schema`.
    """
    return parse_schema(schema_text(path), path)


def schema_text(path: str) -> str:
    """The text of a schema file.

    Raises:
        InputDataError: it cannot be read, or is no text.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        raise InputDataError(f"schema file {path} does not exist") from None
    except IsADirectoryError:
        raise InputDataError(f"schema file {path} is a directory; name the file in it") from None
    except OSError as error:
        raise InputDataError(f"schema file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputDataError(
            f"schema file {path} is not UTF-8 text (byte {error.start}); "
            f"it must be a text proto, as SchemaGen's schema.pbtxt is"
        ) from error


def parse_schema(text: str, path: str) -> Schema:
    """The schema in a text.

    Args:
        text: a Schema in protobuf's text format.
        path: of the file it is from, for messages.

    Raises:
        InputDataError: it is no such text; names line and column.
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
