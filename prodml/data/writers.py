"""Writes record batches as an Examples artifact, in either payload format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import pyarrow as pa
import pyarrow.parquet as pq

from prodml.artifacts import Examples, split_directory
from prodml.data.columns import to_example_shape
from prodml.data.examples_layout import PayloadFormat, describe_examples
from prodml.data.record_batches import serialize_examples
from prodml.data.tfrecords import RecordFile
from prodml.errors import InputDataError

_ROW_GROUP = 65_536


class ExamplesWriter:
    """Writes splits of an artifact; a context manager that closes the files and counts rows.

    Batches of one split must have the same columns. A split to which only empty batches are
    written has a file without rows.

    Args:
        examples: the artifact whose files are written and whose properties are set.
        splits: names of all splits.
        payload: format of the files.
    """

    def __init__(self, examples: Examples, splits: Sequence[str], payload: PayloadFormat) -> None:
        self._examples = examples
        self._payload = payload
        self._files: dict[str, _SplitFile] = {}
        self.rows = dict.fromkeys(splits, 0)

    def write(self, split: str, batch: pa.RecordBatch) -> None:
        """Appends rows, with plain columns or columns in the shape of tf.Example, to a split."""
        if batch.num_rows == 0 and split in self._files:
            return
        if split not in self._files:
            directory = split_directory(self._examples.uri, split)
            os.makedirs(directory, exist_ok=True)
            stem = "data" if self._payload is PayloadFormat.PARQUET else "data_tfrecord"
            path = os.path.join(directory, f"{stem}-00000-of-00001{self._payload.suffix}")
            kind = _ParquetFile if self._payload is PayloadFormat.PARQUET else _TFRecordFile
            self._files[split] = kind(path)
        self._files[split].write(batch)
        self.rows[split] += batch.num_rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            file.close()
        if error is not None:
            return
        describe_examples(self._examples, self._payload, self.rows)


class _SplitFile(Protocol):
    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


class _ParquetFile:
    """Stores columns unchanged: plain columns of CSV files stay plain for other tools."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._writer: Any = None

    def write(self, batch: pa.RecordBatch) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, batch.schema, compression="zstd")
        table = pa.Table.from_batches([_as(batch, self._writer.schema, self._path)])
        self._writer.write_table(table, row_group_size=_ROW_GROUP)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _TFRecordFile:
    def __init__(self, path: str) -> None:
        self._file = RecordFile(path, "GZIP")

    def write(self, batch: pa.RecordBatch) -> None:
        self._file.write(serialize_examples(to_example_shape(batch)).to_pylist())

    def close(self) -> None:
        self._file.close()


def _as(batch: pa.RecordBatch, schema: pa.Schema, path: str) -> pa.RecordBatch:
    """The batch with the columns of the first batch; null for missing columns."""
    unknown = sorted(set(batch.schema.names) - set(schema.names))
    if unknown:
        raise InputDataError(f"{path}: columns {unknown} are absent from the first rows")
    columns = [
        batch.column(name).cast(schema.field(name).type)
        if name in batch.schema.names
        else pa.nulls(batch.num_rows, schema.field(name).type)
        for name in schema.names
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
