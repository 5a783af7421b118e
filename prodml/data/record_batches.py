"""Reads files of either payload format as Arrow record batches in the shape of tf.Example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prodml.data.columns import to_example_shape
from prodml.data.examples_layout import PayloadFormat
from prodml.data.tfrecords import read_records
from prodml.errors import InputDataError

BATCH_SIZE = 16_384
"""Rows per batch; large, because the overhead of Beam and Python is per batch."""


def read_record_batches(
    files: Sequence[str],
    payload: PayloadFormat,
    *,
    columns: Sequence[str] | None = None,
    batch_size: int = BATCH_SIZE,
) -> Iterator[pa.RecordBatch]:
    """Reads batches of rows, in the order of the files.

    Every column is `large_list<int64 | float | large_binary>`, null where a row lacks it. A
    column without a value in any row of a tf.Example batch is absent from that batch.

    Args:
        files: paths of the files.
        payload: format of the files.
        columns: names of the columns to read, if a file has them; None for all.
        batch_size: maximum number of rows in a batch.

    Raises:
        InputDataError: a file is damaged; the message names the file and, for TFRecord, the record.
    """
    for file in files:
        match payload:
            case PayloadFormat.PARQUET:
                yield from _read_parquet(file, columns, batch_size)
            case PayloadFormat.TF_EXAMPLE:
                yield from _read_tf_examples(file, columns, batch_size)


def serialize_examples(batch: pa.RecordBatch) -> pa.Array:
    """Serializes each row as a tf.Example, into a binary array.

    Args:
        batch: a batch in the shape of tf.Example.
    """
    from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

    return pa.array(RecordBatchToExamplesEncoder().encode(batch), pa.large_binary())


def _read_parquet(
    file: str, columns: Sequence[str] | None, batch_size: int
) -> Iterator[pa.RecordBatch]:
    try:
        source = pq.ParquetFile(file)
        known = source.schema_arrow.names
        wanted = None if columns is None else [name for name in columns if name in known]
        for batch in source.iter_batches(batch_size, columns=wanted):
            yield to_example_shape(batch)
    except pa.ArrowInvalid as error:
        raise InputDataError(f"{file} is not a complete Parquet file: {error}") from error


def _read_tf_examples(
    file: str, columns: Sequence[str] | None, batch_size: int
) -> Iterator[pa.RecordBatch]:
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    decoder = ExamplesToRecordBatchDecoder()
    done = 0
    for records in read_records(file, batch_size):
        try:
            batch = decoder.DecodeBatch(records)
        except RuntimeError as error:
            number = done + _first_undecodable(decoder, records)
            reason = str(error).partition(": ")[2]
            raise InputDataError(
                f"{file}, record {number}: {reason.rstrip('.')}; write each record as a "
                f"tf.Example, and each feature always with the same type"
            ) from error
        done += len(records)
        # For an empty cell, TFX writes a feature without values and without a type.
        names = [field.name for field in batch.schema if not pa.types.is_null(field.type)]
        if columns is not None:
            names = [name for name in columns if name in names]
        yield _selected(batch, names)


def _selected(batch: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
    # A table keeps its rows without columns; a record batch without columns has no rows.
    (selected,) = pa.Table.from_batches([batch]).select(list(names)).to_batches()
    return selected


def _first_undecodable(decoder: Any, records: Sequence[bytes]) -> int:
    """The number, from 1, of the first record that cannot be decoded with those before it."""
    good, bad = 0, len(records)
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            decoder.DecodeBatch(records[:middle])
            good = middle
        except RuntimeError:
            bad = middle
    return bad
