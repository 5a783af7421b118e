"""Raw features as a schema has them: record batches that TensorFlow Transform takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tfx_bsl.public import tfxio
from tfx_bsl.tfxio.tensor_adapter import TensorAdapterConfig

from prodml.errors import InputDataError

SPLIT_COLUMN = "__split__"
"""Carries the split through the transformation; no feature of a user bears such a name."""

_DENSE = "dense_tensor"
_SPLIT_TYPE = pa.large_list(pa.large_binary())


class RawFeatures:
    """The features that a schema names, and how a record batch becomes their tensors.

    Args:
        schema: a schema proto.

    Attributes:
        schema: the schema proto.
        config: the TensorAdapterConfig of the schema.
        split_config: the same for batches that name their split.

    Raises:
        InputDataError: the schema has no feature, or one that has no tensor.
    """

    def __init__(self, schema: Any) -> None:
        if not schema.feature:
            raise InputDataError("the schema has no feature; there is nothing to transform")
        self.schema = schema
        source = tfxio.TFExampleBeamRecord(
            physical_format="parquet", telemetry_descriptors=["Transform"], schema=schema
        )
        try:
            self.config = source.TensorAdapterConfig()
        except ValueError as error:
            raise InputDataError(f"the schema has a feature that has no tensor: {error}") from error
        self.split_config = TensorAdapterConfig(
            self.config.arrow_schema.append(pa.field(SPLIT_COLUMN, _SPLIT_TYPE)),
            self.config.tensor_representations,
        )

    def conform(self, batch: pa.RecordBatch, split: str) -> pa.RecordBatch:
        """The batch with exactly the schema's columns, in the schema's order and types.

        Raises:
            InputDataError: a column has another type than the schema says, or a feature with a
                fixed shape lacks a value in some row; names the split and the feature.
        """
        target = self.config.arrow_schema
        columns = [self._column(batch, field, split) for field in target]
        return pa.RecordBatch.from_arrays(columns, schema=target)

    def with_split(self, batch: pa.RecordBatch, split: str) -> pa.RecordBatch:
        """A conforming batch with a column that names its split in every row."""
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
                    f"split {split!r}: feature {field.name!r} holds {column.type} but the schema "
                    f"says {field.type}; change its type in the schema, or the data"
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
                f"bring the column back, take the feature out of the schema, or put "
                f"`value_count {{ min: 1 max: 1 }}` in the place of `shape` and `presence`, and it "
                f"comes as missing"
            )
        if missing:
            raise InputDataError(
                f"split {split!r}: feature {name!r} is missing from {missing:,} of "
                f"{len(column):,} rows, but its fixed shape in the schema wants it in each; "
                f"fill the values in, or put `value_count {{ min: 1 max: 1 }}` in the place of "
                f"`shape` and `presence`"
            )
        lengths = pc.list_value_length(column)
        if pc.any(pc.not_equal(lengths, size)).as_py():
            raise InputDataError(
                f"split {split!r}: feature {name!r} has rows with "
                f"{pc.min(lengths)} to {pc.max(lengths)} values, but the schema wants {size}"
            )


def _same_values(one: pa.DataType, other: pa.DataType) -> bool:
    """Whether two list types differ in the width of their offsets alone."""
    is_list = [pa.types.is_list(t) or pa.types.is_large_list(t) for t in (one, other)]
    if not all(is_list):
        return False
    binary = [
        pa.types.is_binary(t.value_type) or pa.types.is_large_binary(t.value_type)
        for t in (one, other)
    ]
    return all(binary) or one.value_type == other.value_type
