"""Reads CSV files (RFC 4180) as Arrow record batches, with types inferred from all of their rows.

An empty cell, quoted or not, is a missing value, and a blank line is not a row. A column is int64
if every value parses as an integer, else float, else string, as TFX infers them: blanks and tabs
around a number and a leading plus are ignored, and hexadecimal numbers and integers beyond 64 bits
are text. Unlike in TFX, which parses numbers as Python literals, `1_000` is text: as numbers, the
identifiers `12_3` and `1_23` would be equal. The first pass infers types, the second reads rows.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pa_csv

from prodml.errors import InputDataError

_BLOCK = 16 << 20
"""Bytes per block; a row must fit into one block."""

_NUMBERS = (pa.int64(), pa.float64())

_HEXADECIMAL = "0[xX]"
_NAN_WITH_PAYLOAD = "[nN]\\("
_LONG_INTEGER = "^[ \\t]*[+-]?[0-9]{19,}[ \\t]*$"
_PLUS = "^[ \\t]*[+]([^+-])"


@dataclass(frozen=True)
class CsvTable:
    """The files and the columns of a table in one or more CSV files.

    Attributes:
        files: paths of the files, in the order in which rows are read.
        columns: types (int64, float64 or string) by name, of the columns with at least one value.
        empty_columns: names of the columns without any value.
        columns_with_plus: names of numeric columns in which some values have a leading plus, which
            Arrow cannot parse.
    """

    files: tuple[str, ...]
    columns: Mapping[str, pa.DataType]
    empty_columns: tuple[str, ...]
    columns_with_plus: frozenset[str] = frozenset()

    def of_files(self, files: Sequence[str]) -> CsvTable:
        """The part of the table in some of the files."""
        return dataclasses.replace(self, files=tuple(files))

    def with_types(self, types: Mapping[str, pa.DataType]) -> CsvTable:
        """The table with other types for some of its columns."""
        return dataclasses.replace(self, columns={**self.columns, **types})


def inspect(files: Sequence[str]) -> CsvTable:
    """Reads all rows once to check them and to infer every column's type.

    Raises:
        InputDataError: a file is empty, has no rows, a row of another length than the header, or
            bytes that are not UTF-8, or the headers differ; the message names the file and the row
            or the columns.
    """
    header = _same_header(files)
    for file in files:
        _require_closed_quotes(file)
    types: dict[str, pa.DataType | None] = dict.fromkeys(header)
    with_plus: set[str] = set()
    for file in files:
        rows = 0
        for batch in _read(file, dict.fromkeys(header, pa.string())):
            rows += batch.num_rows
            for name in header:
                types[name] = _widened(types[name], batch.column(name))
                if types[name] in _NUMBERS and _has(batch.column(name), _PLUS):
                    with_plus.add(name)
        if not rows:
            raise InputDataError(f"{file} has a header but no rows; remove it or add rows")
    return CsvTable(
        files=tuple(files),
        columns={name: found for name, found in types.items() if found is not None},
        empty_columns=tuple(name for name, found in types.items() if found is None),
        columns_with_plus=frozenset(name for name in with_plus if types[name] in _NUMBERS),
    )


def read(table: CsvTable) -> Iterator[pa.RecordBatch]:
    """Reads the rows of an inspected table, with columns of its types; null where missing."""
    with_plus = [n for n in table.columns_with_plus if table.columns[n] in _NUMBERS]
    for file in table.files:
        for batch in _read(file, {**table.columns, **dict.fromkeys(with_plus, pa.string())}):
            for name in with_plus:
                index = batch.schema.get_field_index(name)
                column = pc.cast(_without_plus(batch.column(index)), table.columns[name])
                batch = pa.RecordBatch.from_arrays(
                    [column if i == index else other for i, other in enumerate(batch.columns)],
                    batch.schema.names,
                )
            yield batch


def _read(file: str, types: Mapping[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
    try:
        reader = pa_csv.open_csv(
            file,
            pa_csv.ReadOptions(block_size=_BLOCK),
            pa_csv.ParseOptions(newlines_in_values=True),
            pa_csv.ConvertOptions(
                column_types=types,
                include_columns=list(types),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
        yield from reader
    except pa.ArrowInvalid as error:
        raise _located(file, len(_header(file)), error) from error


def _widened(known: pa.DataType | None, column: pa.Array) -> pa.DataType | None:
    """The narrowest type for a column of text and for the values before it, of type `known`."""
    if known == pa.string() or column.null_count == len(column):
        return known
    if known != pa.float64() and _reads_as(column, pa.int64()):
        # Arrow parses 0x1F as 31, but hexadecimal values are usually identifiers.
        return pa.string() if _has(column, _HEXADECIMAL) else pa.int64()
    # Arrow parses nan(1) as NaN.
    if not _reads_as(column, pa.float64()) or _has(column, _NAN_WITH_PAYLOAD):
        return pa.string()
    long = column.filter(pc.match_substring_regex(column, _LONG_INTEGER))
    # As floats, different long identifiers would become equal.
    too_long = any(not -(2**63) <= int(value) < 2**63 for value in long.to_pylist())
    return pa.string() if too_long else pa.float64()


def _reads_as(column: pa.Array, kind: pa.DataType) -> bool:
    # The typed reader trims blanks, too; most columns have no blanks and no plus.
    for prepare in (_unchanged, _trimmed, _without_plus):
        try:
            pc.cast(prepare(column), kind)
        except pa.ArrowInvalid:
            continue
        return True
    return False


def _unchanged(column: pa.Array) -> pa.Array:
    return column


def _trimmed(column: pa.Array) -> pa.Array:
    return pc.ascii_trim(column, " \t")


def _without_plus(column: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(_trimmed(column), _PLUS, "\\1")


def _has(column: pa.Array, expression: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(column, expression)).as_py())


def _same_header(files: Sequence[str]) -> list[str]:
    first = _header(files[0])
    for file in files[1:]:
        other = _header(file)
        missing, extra = sorted(set(first) - set(other)), sorted(set(other) - set(first))
        if missing or extra:
            parts = [f"lacks {', '.join(missing)}"] if missing else []
            parts += [f"has {', '.join(extra)} in addition"] if extra else []
            raise InputDataError(
                f"the headers differ: {file} {' and '.join(parts)}, compared with {files[0]}; "
                f"give all files the same columns"
            )
    return first


def _header(file: str) -> list[str]:
    try:
        with open(file, encoding="utf-8-sig", newline="") as opened:
            header: list[str] | None = next((row for row in _rows(opened) if row), None)
    except UnicodeDecodeError:
        raise _not_utf8(file) from None
    except csv.Error as error:
        raise InputDataError(f"{file}, header: {error}") from None
    if not header:
        raise InputDataError(f"{file} is empty; it needs a header line and rows")
    for index, name in enumerate(header):
        if not name.strip():
            raise InputDataError(f"{file}, header: column {index + 1} has no name")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise InputDataError(
            f"{file}, header: {', '.join(repeated)} appears more than once; rename one"
        )
    return header


def _located(file: str, expected: int, error: pa.ArrowInvalid) -> InputDataError:
    """The error with the number of the row; Arrow's message counts rows within a block."""
    try:
        with open(file, encoding="utf-8-sig", newline="") as opened:
            rows = _rows(opened)
            for number, row in enumerate(row for row in rows if row):
                if len(row) != expected:
                    return InputDataError(
                        f"{file}, row {number} (line {rows.line_num}): expected {expected} cells "
                        f"as in the header, got {len(row)}; quote cells that contain commas"
                    )
    except UnicodeDecodeError:
        return _not_utf8(file)
    except csv.Error as problem:
        return InputDataError(f"{file}, line {rows.line_num}: {problem}")
    return InputDataError(f"{file} cannot be read as CSV: {error}")


def _require_closed_quotes(file: str) -> None:
    """Rejects a quote that is never closed: Arrow would read the rest of the file as one cell."""
    with open(file, "rb") as opened:
        quotes = sum(block.count(b'"') for block in iter(lambda: opened.read(_BLOCK), b""))
    if quotes % 2 == 0:
        return
    try:
        with open(file, encoding="utf-8-sig", newline="") as opened_text:
            rows = _rows(opened_text)
            ended = 0
            for _ in rows:
                ended = rows.line_num
    except UnicodeDecodeError:
        raise _not_utf8(file) from None
    except csv.Error as error:
        raise InputDataError(
            f"{file}, in the row that starts on line {ended + 1}: {error}; close the quote, and "
            f"double the quotes within a cell"
        ) from None


def _rows(opened: IO[str]) -> Any:
    """Python's CSV reader, for headers and for the line of an error (`line_num`)."""
    csv.field_size_limit(_BLOCK)
    return csv.reader(opened, strict=True)


def _not_utf8(file: str) -> InputDataError:
    with open(file, "rb") as opened:
        for number, line in enumerate(opened, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return InputDataError(
                    f"{file}, line {number}, byte {error.start + 1}: not UTF-8 "
                    f"(0x{line[error.start]:02x}); convert the file, for example with iconv"
                )
    return InputDataError(f"{file} is not UTF-8; convert it, for example with iconv")
