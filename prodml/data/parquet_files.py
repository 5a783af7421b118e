"""Reads users' Parquet files as Arrow record batches that fit into a tf.Example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from prodml.data.columns import to_example_shape
from prodml.data.record_batches import BATCH_SIZE
from prodml.errors import InputDataError


def inspect(files: Sequence[str]) -> pa.Schema:
    """Checks the files, and returns their common schema.

    A column that is empty in some files, and so has no type there, has its type of the others.

    Raises:
        InputDataError: a file is not Parquet or has no rows, columns differ between files, or a
            tf.Example cannot contain a column's type.
    """
    schemas = [_schema(file) for file in files]
    first = schemas[0]
    for file, schema in zip(files, schemas, strict=True):
        for name in sorted(set(first.names) ^ set(schema.names)):
            where = files[0] if name in first.names else file
            raise InputDataError(
                f"the columns of {files[0]} and {file} differ: only {where} has {name!r}; give all "
                f"files the same columns"
            )
    types = {name: _common_type(name, files, schemas) for name in first.names}
    empty = [pa.array([], found) for found in types.values()]
    to_example_shape(pa.RecordBatch.from_arrays(empty, list(types)))
    return pa.schema(list(types.items()))


def _common_type(name: str, files: Sequence[str], schemas: Sequence[pa.Schema]) -> pa.DataType:
    known, where = pa.null(), files[0]
    for file, schema in zip(files, schemas, strict=True):
        found = schema.field(name).type
        if pa.types.is_null(known):
            known, where = found, file
        elif found != known and not pa.types.is_null(found):
            raise InputDataError(
                f"column {name!r} is {known} in {where} and {found} in {file}; write both with "
                f"the same type"
            )
    return known


def read(files: Sequence[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Reads the rows of inspected files, with columns in the schema's order."""
    for file in files:
        try:
            for batch in pq.ParquetFile(file).iter_batches(BATCH_SIZE, columns=schema.names):
                yield _checked(file, _plain(batch, schema))
        except (pa.ArrowInvalid, OSError) as error:
            raise InputDataError(f"{file} is damaged: {error}; write the file again") from error


def _plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The schema's columns, with dictionary-encoded categories replaced by their values."""
    columns = [batch.column(name) for name in schema.names]
    columns = [c.dictionary_decode() if pa.types.is_dictionary(c.type) else c for c in columns]
    columns = [
        pa.nulls(len(column), field.type) if pa.types.is_null(column.type) else column
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _checked(file: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Returns the batch; rejects values that a tf.Example cannot contain before they are stored."""
    try:
        to_example_shape(batch)
    except InputDataError as error:
        raise InputDataError(f"{file}: {error}") from error
    return batch


def _schema(file: str) -> pa.Schema:
    try:
        source = pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputDataError(f"{file} is not a complete Parquet file: {error}") from error
    if source.metadata.num_rows == 0:
        raise InputDataError(f"{file} has no rows; remove it or add rows")
    return pa.schema(
        [
            (field.name, field.type.value_type if _is_category(field) else field.type)
            for field in source.schema_arrow
        ]
    )


def _is_category(field: pa.Field) -> bool:
    return bool(pa.types.is_dictionary(field.type))
