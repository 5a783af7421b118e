"""Reads rows to send to a model, from JSON, JSON lines, CSV or Parquet, typed by a schema.

The rows become record batches in the shape of tf.Example. Without a schema, types are inferred
from the values of all rows.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.compute as pc

from prodml.data import csv_files, parquet_files
from prodml.data.columns import to_example_shape
from prodml.data.schemas import read_schema
from prodml.documents import parse_json
from prodml.errors import InputDataError
from prodml.suggestions import suggest

Types = Mapping[str, pa.DataType]
"""Types (int64, float32 or large_binary) by column."""

_KINDS = {
    pa.int64(): "an integer",
    pa.float32(): "a number",
    pa.large_binary(): "a string",
}


def schema_types(path: str) -> dict[str, pa.DataType]:
    """Reads the types of the features in a `schema.pbtxt`.

    Raises:
        InputDataError: the file is not a Schema in protobuf's text format.
    """
    from tensorflow_metadata.proto.v0.schema_pb2 import FeatureType

    schema = read_schema(path)
    kinds = {
        FeatureType.INT: pa.int64(),
        FeatureType.FLOAT: pa.float32(),
        FeatureType.BYTES: pa.large_binary(),
    }
    return {f.name: kinds[f.type] for f in schema.feature if f.type in kinds}


def read_request_rows(path: str, types: Types | None, stdin: TextIO) -> Iterator[pa.RecordBatch]:
    """Reads the rows of a file in the shape of tf.Example, null where a value is missing.

    Args:
        path: `.json` (a list of objects, one object, or TF Serving's `{"instances": [...]}`),
            `.jsonl`, `.csv` or `.parquet`; `-` for JSON or JSON lines from `stdin`.
        types: types by column, which must include all columns of the file; None to infer them.
        stdin: the stream to read if `path` is `-`.

    Raises:
        InputDataError: the file cannot be read, or a value has another type; the message names
            the row and the column.
    """
    suffix = Path(path).suffix.lower()
    if path == "-":
        yield _of_objects(_parsed(stdin.read(), "standard input"), types)
    elif not Path(path).is_file():
        raise InputDataError(f"{path} does not exist")
    elif suffix == ".csv":
        yield from _of_columns(_csv_batches(path, types), types)
    elif suffix == ".parquet":
        yield from _of_columns(parquet_files.read([path], parquet_files.inspect([path])), types)
    elif suffix in (".json", ".jsonl", ".ndjson"):
        yield _of_objects(_parsed(_text(path), path), types)
    else:
        raise InputDataError(
            f"{path}: unsupported file type; use a .json, .jsonl, .csv or .parquet file, or -"
        )


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputDataError(f"{path} is not UTF-8: byte {error.start + 1}") from error


def _parsed(text: str, source: str) -> list[Mapping[str, Any]]:
    try:
        document = parse_json(text)
    except ValueError as document_error:
        document = []
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                document.append(parse_json(line))
            except ValueError as error:
                reason = document_error if number == 1 else error
                raise InputDataError(
                    f"{source} is not JSON, and line {number} is not a JSON object: {reason}"
                ) from error
    if isinstance(document, dict):
        rows = document.get("instances")
        document = rows if isinstance(rows, list) else [document]
    if not isinstance(document, list) or not document:
        raise InputDataError(
            f"{source} has no rows; write a list of objects, or one object per line"
        )
    for number, row in enumerate(document, start=1):
        if not isinstance(row, dict):
            raise InputDataError(
                f"{source}, row {number}: expected an object of columns, got {json.dumps(row)}"
            )
    return document


def _of_objects(rows: Sequence[Mapping[str, Any]], types: Types | None) -> pa.RecordBatch:
    names = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    _require_known(names, types)
    columns = {}
    for name in names:
        cells = [_cell(row.get(name), number, name) for number, row in enumerate(rows, start=1)]
        kind = _inferred(cells) if types is None else types[name]
        columns[name] = _column(cells, kind, name)
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _cell(value: Any, row: int, name: str) -> list[Any] | None:
    """The values of one cell; None if the cell is missing."""
    if value is None:
        return None
    cell = value if isinstance(value, list) else [value]
    cell = [_decoded(each, row, name) for each in cell]
    for each in cell:
        if not isinstance(each, bool | int | float | str | bytes):
            raise InputDataError(
                f"row {row}, column {name!r}: {json.dumps(value)} is not a valid value; write a "
                f'number, a string, {{"b64": "..."}} or a list of them'
            )
    return cell


def _decoded(value: Any, row: int, name: str) -> Any:
    if not (isinstance(value, dict) and value.keys() == {"b64"}):
        return value
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise InputDataError(f"row {row}, column {name!r}: not base64: {error}") from error


def _inferred(cells: Sequence[list[Any] | None]) -> pa.DataType:
    found = {type(each) for cell in cells if cell for each in cell}
    if not found or found & {str, bytes}:
        return pa.large_binary()
    return pa.float32() if float in found else pa.int64()


def _column(cells: Sequence[list[Any] | None], kind: pa.DataType, name: str) -> pa.Array:
    accepted: tuple[type, ...] = {
        pa.int64(): (int,),
        pa.float32(): (int, float),
        pa.large_binary(): (str, bytes),
    }[kind]
    for row, cell in enumerate(cells, start=1):
        for each in cell or ():
            is_too_long = kind == pa.int64() and isinstance(each, int) and abs(each) >= 2**63
            if not isinstance(each, accepted) or is_too_long:
                raise InputDataError(
                    f"row {row}, column {name!r}: expected {_KINDS[kind]}, got {each!r}"
                )
    plain: Mapping[pa.DataType, Callable[[Any], Any]] = {
        pa.int64(): int,
        pa.float32(): float,
        pa.large_binary(): lambda value: value.encode() if isinstance(value, str) else value,
    }
    values = [None if cell is None else [plain[kind](each) for each in cell] for cell in cells]
    return pa.array(values, pa.large_list(kind))


def _csv_batches(path: str, types: Types | None) -> Iterator[pa.RecordBatch]:
    table = csv_files.inspect([path])
    # Values that look like numbers can be strings, such as 007, according to the schema.
    texts = {n: pa.string() for n in table.columns if types and types.get(n) == pa.large_binary()}
    yield from csv_files.read(table.with_types(texts))


def _of_columns(batches: Iterator[pa.RecordBatch], types: Types | None) -> Iterator[pa.RecordBatch]:
    done = 0
    for batch in batches:
        _require_known(batch.schema.names, types)
        shaped = to_example_shape(batch)
        yield shaped if types is None else _typed(batch, shaped, types, done)
        done += batch.num_rows


def _typed(batch: pa.RecordBatch, shaped: pa.RecordBatch, types: Types, done: int) -> Any:
    columns = []
    for name, column in zip(shaped.schema.names, shaped.columns, strict=True):
        kind, found = types[name], column.type.value_type
        if kind == found:
            columns.append(column)
        elif column.null_count == len(column):
            columns.append(pa.nulls(len(column), pa.large_list(kind)))
        elif kind == pa.float32() and found == pa.int64():
            columns.append(column.cast(pa.large_list(kind), safe=False))
        else:
            first, value = _first_invalid(batch, name, kind)
            raise InputDataError(
                f"row {done + first + 1}, column {name!r}: expected {_KINDS[kind]}, got {value!r}"
            )
    return pa.RecordBatch.from_arrays(columns, shaped.schema.names)


def _first_invalid(batch: pa.RecordBatch, name: str, kind: pa.DataType) -> tuple[int, Any]:
    column = batch.column(batch.schema.get_field_index(name))
    for row, value in enumerate(column.to_pylist()):
        if value is None:
            continue
        try:
            pc.cast(pa.array([value]), kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return row, value
    return int(pc.index(column.is_valid(), True).as_py()), column.drop_null()[0].as_py()


def _require_known(names: Sequence[str], types: Types | None) -> None:
    for name in names:
        if types is not None and name not in types:
            raise InputDataError(
                f"column {name!r} is not in the schema{suggest(name, list(types))}"
            )
