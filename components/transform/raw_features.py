"""Converts record batches to the features of a schema, as TensorFlow Transform expects them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tfx_bsl.public import tfxio
from tfx_bsl.tfxio.tensor_adapter import TensorAdapterConfig

from prodml.errors import InputDataError

SPLIT_COLUMN = "__split__"
"""Column that passes the split through the transformation; no user's feature has such a name."""

_DENSE = "dense_tensor"
_SPLIT_TYPE = pa.large_list(pa.large_binary())


class RawFeatures:
    """The features of a schema, and the conversion of record batches to them.

    Args:
        schema: a schema proto.

    Attributes:
        schema: the schema proto.
        config: the TensorAdapterConfig of the schema.
        split_config: the TensorAdapterConfig for batches with SPLIT_COLUMN.

    Raises:
        InputDataError: the schema has no feature, or a feature that cannot become a tensor.
    """

    def __init__(self, schema: Any) -> None:
        if not schema.feature:
            raise InputDataError("the schema has no feature, so there is nothing to transform")
        self.schema = schema
        source = tfxio.TFExampleBeamRecord(
            physical_format="parquet", telemetry_descriptors=["Transform"], schema=schema
        )
        try:
            self.config = source.TensorAdapterConfig()
        except ValueError as error:
            raise InputDataError(
                f"the schema has a feature that cannot become a tensor: {error}"
            ) from error
        self.split_config = TensorAdapterConfig(
            self.config.arrow_schema.append(pa.field(SPLIT_COLUMN, _SPLIT_TYPE)),
            self.config.tensor_representations,
        )

    def conform(self, batch: pa.RecordBatch, split: str) -> pa.RecordBatch:
        """Returns the batch with exactly the schema's columns, in the schema's order and types.

        Raises:
            InputDataError: a column's type differs from the schema, or a feature with a fixed
                shape has no value in a row; the message names the split and the feature.
        """
        target = self.config.arrow_schema
        columns = [self._column(batch, field, split) for field in target]
        return pa.RecordBatch.from_arrays(columns, schema=target)

    def with_split(self, batch: pa.RecordBatch, split: str) -> pa.RecordBatch:
        """Adds a column with the name of the split to a conforming batch."""
        names = pa.array([[split.encode()]], _SPLIT_TYPE)
        column = names.take(pa.array(np.zeros(batch.num_rows, np.int64)))
        return pa.RecordBatch.from_arrays(
            [*batch.columns, column], schema=self.split_config.arrow_schema
        )

    def _column(self, batch: pa.RecordBatch, field: pa.Field, split: str) -> pa.Array:
        index = batch.schema.get_field_index(field.name)
        column = pa.nulls(batch.num_rows, field.type) if index < 0 else batch.column(index)
        if pa.types.is_null(column.type) or column.null_count == len(column):
            column = pa.nulls(batch.num_rows, field.type)
        elif column.type != field.type:
            if not _same_values(column.type, field.type):
                raise InputDataError(
                    f"split {split!r}: feature {field.name!r} is {column.type}, but the schema "
                    f"declares {field.type}; change its type in the schema, or the data"
                )
            column = column.cast(field.type)
        self._check_shape(column, field.name, split)
        return column

    def _check_shape(self, column: pa.Array, name: str, split: str) -> None:
        representation = self.config.tensor_representations.get(name)
        if representation is None or representation.WhichOneof("kind") != _DENSE:
            return
        dense = representation.dense_tensor
        if dense.HasField("default_value"):
            return
        size = 1
        for dim in dense.shape.dim:
            size *= dim.size
        missing = column.null_count
        if missing == len(column) and missing:
            raise InputDataError(
                f"split {split!r}: feature {name!r} is in the schema but missing from every row; "
                f"restore the column, remove the feature from the schema, or replace its `shape` "
                f"and `presence` with `value_count {{ min: 1 max: 1 }}`, so that it may be missing"
            )
        if missing:
            raise InputDataError(
                f"split {split!r}: feature {name!r} is missing from {missing:,} of "
                f"{len(column):,} rows, but its fixed shape in the schema requires it in each row; "
                f"fill in the values, or replace `shape` and `presence` in the schema with "
                f"`value_count {{ min: 1 max: 1 }}`"
            )
        lengths = pc.list_value_length(column)
        if pc.any(pc.not_equal(lengths, size)).as_py():
            raise InputDataError(
                f"split {split!r}: feature {name!r} has rows with "
                f"{pc.min(lengths)} to {pc.max(lengths)} values, but the schema requires {size}"
            )


def _same_values(one: pa.DataType, other: pa.DataType) -> bool:
    """Whether two list types have the same values, and differ only in the width of offsets."""
    is_list = [pa.types.is_list(t) or pa.types.is_large_list(t) for t in (one, other)]
    if not all(is_list):
        return False
    binary = [
        pa.types.is_binary(t.value_type) or pa.types.is_large_binary(t.value_type)
        for t in (one, other)
    ]
    return all(binary) or one.value_type == other.value_type
