"""Parquet files that users bring, as Arrow record batches that a tf.Example can hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from prodml.data.columns import to_example_shape
from prodml.data.record_batches import BATCH_SIZE
from prodml.errors import InputDataError


def inspect(files: Sequence[str]) -> pa.Schema:
    """The schema that all files have.

    A column that is empty in some files has no type there, and the type of the others.

    Raises:
        InputDataError: a file is not Parquet or has no rows, columns differ between files, or a
            column's type has no place in a tf.Example.
    """
    schemas = [_schema(file) for file in files]
    first = schemas[0]
    for file, schema in zip(files, schemas, strict=True):
        for name in sorted(set(first.names) ^ set(schema.names)):
            where = files[0] if name in first.names else file
            raise InputDataError(
                f"the columns differ: {name!r} is in {where} alone of {files[0]} and {file}"
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
                f"one type"
            )
    return known


def read(files: Sequence[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of files that were inspected together, columns in the schema's order."""
    for file in files:
        try:
            for batch in pq.ParquetFile(file).iter_batches(BATCH_SIZE, columns=schema.names):
                yield _checked(file, _plain(batch, schema))
        except (pa.ArrowInvalid, OSError) as error:
            raise InputDataError(f"{file} is damaged: {error}; write the file again") from error


def _plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The schema's columns, with values in place of what pandas or Arrow wrote as categories."""
    columns = [batch.column(name) for name in schema.names]
    columns = [c.dictionary_decode() if pa.types.is_dictionary(c.type) else c for c in columns]
    columns = [
        pa.nulls(len(column), field.type) if pa.types.is_null(column.type) else column
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _checked(file: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch; what a tf.Example cannot hold is refused here, not by a later component."""
    try:
        to_example_shape(batch)
    except InputDataError as error:
        raise InputDataError(f"{file}: {error}") from error
    return batch


def _schema(file: str) -> pa.Schema:
    try:
        source = pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputDataError(f"{file} is not a whole Parquet file: {error}") from error
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
