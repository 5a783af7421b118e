"""Reads users' TFRecord files of tf.Example as Arrow record batches with the same columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from prodml.data.examples_layout import PayloadFormat
from prodml.data.record_batches import read_record_batches
from prodml.errors import InputDataError


def inspect(files: Sequence[str]) -> pa.Schema:
    """Reads all files to find their features, because a tf.Example may lack some of them.

    Raises:
        InputDataError: a file is damaged or has no records, there is no feature, or a feature has
            different types.
    """
    types: dict[str, tuple[pa.DataType, str]] = {}
    for file in files:
        rows = 0
        for batch in read_record_batches([file], PayloadFormat.TF_EXAMPLE):
            rows += batch.num_rows
            for field in batch.schema:
                known, where = types.setdefault(field.name, (field.type, file))
                if known != field.type:
                    raise InputDataError(
                        f"feature {field.name!r} is {known.value_type} in {where} and "
                        f"{field.type.value_type} in {file}; write both with the same type"
                    )
        if not rows:
            raise InputDataError(f"{file} has no records; remove it or add records")
    if not types:
        raise InputDataError(f"no record of {', '.join(files)} has a feature; add features")
    return pa.schema([(name, types[name][0]) for name in sorted(types)])


def read(files: Sequence[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Reads the rows of inspected files; null where a row lacks a feature."""
    for batch in read_record_batches(files, PayloadFormat.TF_EXAMPLE):
        columns = [
            batch.column(field.name)
            if field.name in batch.schema.names
            else pa.nulls(batch.num_rows, field.type)
            for field in schema
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)
