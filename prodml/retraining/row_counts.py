"""Counts the rows of data files without ingesting them: CSV, Parquet, and TFRecord.

The format is found by the first bytes of a file. Imports pyarrow, so import this module only where
rows must be counted.
"""

from __future__ import annotations

import gzip
import os
import struct
import tempfile
from collections.abc import Iterable
from typing import IO

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from prodml.errors import InputDataError
from prodml.storage import objects
from prodml.storage.locations import is_url

_PARQUET, _GZIP = b"PAR1", b"\x1f\x8b"
_HEADER, _FRAME_BYTES = struct.Struct("<QI"), 16
_BLOCK = 16 << 20


def count_rows(places: Iterable[str]) -> int:
    """The number of rows in files, at local paths or URLs.

    Raises:
        InputDataError: a file cannot be read.
        StorageError: a file cannot be downloaded.
    """
    return sum(map(_count, places))


def _count(place: str) -> int:
    if not is_url(place):
        return _count_file(place)
    with tempfile.TemporaryDirectory() as directory:
        local = os.path.join(directory, "fetched")
        objects.download(place, local)
        return _count_file(local)


def _count_file(path: str) -> int:
    try:
        with open(path, "rb") as file:
            start = file.read(_HEADER.size)
            if start.startswith(_PARQUET):
                return int(pq.read_metadata(path).num_rows)
            file.seek(0)
            if start.startswith(_GZIP):
                with gzip.open(file) as unzipped:
                    return _records(unzipped)
            if _is_tfrecord(start, os.path.getsize(path)):
                return _records(file)
        return _csv_rows(path)
    except (OSError, EOFError, struct.error, pa.ArrowInvalid) as error:
        raise InputDataError(
            f"the rows of {path} cannot be counted: {error}; write the file again, or remove "
            f"rows_since from the configuration"
        ) from error


def _is_tfrecord(start: bytes, size: int) -> bool:
    """Whether a file starts with the length of a record that fits into it; text never does."""
    return len(start) == _HEADER.size and _HEADER.unpack(start)[0] + _FRAME_BYTES <= size


def _records(file: IO[bytes] | gzip.GzipFile) -> int:
    count = 0
    while header := file.read(_HEADER.size):
        length, _ = _HEADER.unpack(header)
        file.seek(length + _FRAME_BYTES - _HEADER.size, os.SEEK_CUR)
        count += 1
    return count


def _csv_rows(path: str) -> int:
    with pa_csv.open_csv(
        path,
        pa_csv.ReadOptions(block_size=_BLOCK),
        pa_csv.ParseOptions(newlines_in_values=True),
    ) as reader:
        first = reader.schema.names[0]
    # One column as text is enough, and cannot fail to convert.
    with pa_csv.open_csv(
        path,
        pa_csv.ReadOptions(block_size=_BLOCK),
        pa_csv.ParseOptions(newlines_in_values=True),
        pa_csv.ConvertOptions(include_columns=[first], column_types={first: pa.string()}),
    ) as reader:
        return sum(batch.num_rows for batch in reader)
