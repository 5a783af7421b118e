"""Converts columns to the shape of tf.Example.

Each value of a tf.Example is a list: every column is `large_list<int64 | float | large_binary>`,
and null where the feature is missing, exactly as tfx_bsl's decoder returns them.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prodml.errors import InputDataError


def to_example_shape(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Converts every column to lists of int64, float32 or binary values.

    Raises:
        InputDataError: a tf.Example cannot contain a column's type.
    """
    if not batch.schema.names:
        return batch  # A new batch without columns would have no rows.
    columns = [
        _to_lists(name, column)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def value_type(declared: pa.DataType) -> pa.DataType | None:
    """The tf.Example value type for a plain Arrow type; None if there is none."""
    if pa.types.is_boolean(declared) or pa.types.is_integer(declared):
        return pa.int64()
    if pa.types.is_floating(declared):
        return pa.float32()
    if (
        pa.types.is_string(declared)
        or pa.types.is_large_string(declared)
        or pa.types.is_binary(declared)
        or pa.types.is_large_binary(declared)
    ):
        return pa.large_binary()
    return None


def _to_lists(name: str, column: pa.Array) -> pa.Array:
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), pa.large_list(pa.large_binary()))
    if _is_list(column.type):
        inner = value_type(column.type.value_type)
        if inner is None:
            raise _unsupported(name, column.type)
        if column.flatten().null_count:
            # tfx_bsl would replace the missing value with 0 or "".
            raise InputDataError(
                f"column {name!r} has a list with a missing value, which a tf.Example cannot "
                f"contain; remove or replace the missing value"
            )
        return column.cast(pa.large_list(inner))
    inner = value_type(column.type)
    if inner is None:
        raise _unsupported(name, column.type)
    values = pc.drop_null(column)
    if pa.types.is_floating(inner):
        values = values.cast(inner, safe=False)
    else:
        try:
            values = values.cast(inner)
        except pa.ArrowInvalid as error:
            raise InputDataError(f"column {name!r}: {error}; convert it to strings") from error
    if column.null_count == 0:
        offsets = pa.array(np.arange(len(column) + 1, dtype=np.int64))
        return pa.LargeListArray.from_arrays(offsets, values)
    # A null offset makes the list null; the next offset is the start of the next value.
    present = np.asarray(pc.is_valid(column).to_numpy(zero_copy_only=False), dtype=bool)
    starts = np.concatenate([[0], np.cumsum(present)]).astype(np.int64)
    missing = np.concatenate([~present, [False]])
    return pa.LargeListArray.from_arrays(pa.array(starts, mask=missing), values)


def _is_list(declared: pa.DataType) -> bool:
    return bool(pa.types.is_list(declared) or pa.types.is_large_list(declared))


def _unsupported(name: str, declared: pa.DataType) -> InputDataError:
    return InputDataError(
        f"column {name!r} has type {declared}, which a tf.Example cannot contain; convert it to "
        f"integers, floats or strings"
    )
