"""Converts rows to the inputs of a signature: serialized tf.Examples, or one tensor per column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from prodml.errors import InputDataError
from prodml.serving.values.data_types import Array, string_array


def examples_input(signature: meta_graph_pb2.SignatureDef) -> str | None:
    """Returns the name of the input for serialized tf.Examples: the only input, with one string per
    row; None if there is no such input."""
    if len(signature.inputs) != 1:
        return None
    ((name, info),) = signature.inputs.items()
    shape = info.tensor_shape
    if info.dtype != types_pb2.DT_STRING or (not shape.unknown_rank and len(shape.dim) != 1):
        return None
    return str(name)


def signature_inputs(
    signature: meta_graph_pb2.SignatureDef, rows: pa.RecordBatch, first_row: int = 1
) -> dict[str, Array]:
    """Returns the inputs of a signature for some rows, by name.

    Args:
        signature: accepts serialized tf.Examples in its only input, or columns by their names.
        rows: columns of the types of tf.Example: `large_list<int64 | float | large_binary>`, null
            if a row lacks the feature.
        first_row: number of the first row, for error messages.

    Raises:
        InputDataError: a column is missing or does not match the signature; names the row and the
            column.
    """
    name = examples_input(signature)
    if name is not None:
        return {name: string_array(serialized_examples(rows))}
    missing = [
        name
        for name in sorted(signature.inputs)
        if name not in rows.schema.names and name not in signature.defaults
    ]
    if missing:
        raise InputDataError(
            f"the signature takes the input(s) {', '.join(sorted(signature.inputs))}; the rows "
            f"have no column {', '.join(map(repr, missing))}"
        )
    return {
        name: _tensor(name, info, rows.column(rows.schema.get_field_index(name)), first_row)
        for name, info in sorted(signature.inputs.items())
        if name in rows.schema.names
    }


def serialized_examples(rows: pa.RecordBatch) -> list[bytes]:
    """Serializes one tf.Example per row; a missing value is a feature without values."""
    from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

    examples: list[bytes] = RecordBatchToExamplesEncoder().encode(rows)
    return examples


def complete_rows(signature: meta_graph_pb2.SignatureDef, rows: pa.RecordBatch) -> pa.RecordBatch:
    """Returns the rows that have a value in every column that the signature needs."""
    if examples_input(signature) is not None:
        return rows
    for name in sorted(signature.inputs):
        if name in rows.schema.names:
            column = rows.column(rows.schema.get_field_index(name))
            rows = rows.filter(pc.greater(pc.fill_null(pc.list_value_length(column), 0), 0))
    return rows


def _tensor(name: str, info: Any, column: pa.Array, first_row: int) -> Array:
    lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0))
    width = _width(name, info, lengths, first_row)
    values = column.flatten().to_numpy(zero_copy_only=False)
    dtype = tf.as_dtype(info.dtype)
    if (dtype == tf.string) != (values.dtype == object) and len(values):
        held = "text" if values.dtype == object else "numbers"
        raise InputDataError(f"column {name!r} holds {held}; the signature takes {dtype.name}")
    if dtype == tf.string:
        flat: Array = string_array(values.tolist())
    else:
        flat = values.astype(dtype.as_numpy_dtype)
    dims = [] if info.tensor_shape.unknown_rank else [d.size for d in info.tensor_shape.dim]
    return flat.reshape([len(column), *_row_shape(dims, width)])


def _width(name: str, info: Any, lengths: Array, first_row: int) -> int:
    """Returns the number of values per row, which must be the same in all rows."""
    shape = info.tensor_shape
    sizes = [] if shape.unknown_rank else [dim.size for dim in shape.dim[1:]]
    is_open = shape.unknown_rank or any(size < 0 for size in sizes)
    expected = max(int(lengths.max(initial=1)), 1) if is_open else int(np.prod(sizes))
    wrong = np.flatnonzero(lengths != expected)
    if len(wrong):
        row = int(wrong[0])
        got = "no value" if not lengths[row] else f"{lengths[row]} values"
        raise InputDataError(
            f"row {first_row + row}, column {name!r}: expected {_counted(expected)}, got {got}"
        )
    return expected


def _counted(values: int) -> str:
    return "a value" if values == 1 else f"{values} values"


def _row_shape(dims: Sequence[int], width: int) -> list[int]:
    if not dims:
        return [width]
    inner = list(dims[1:])
    # At most one size can be unknown.
    return inner if inner.count(-1) <= 1 else [width]
