"""Reads examples as a tf.data.Dataset of batches, from columns instead of parsing each row.

tfx_bsl's TensorAdapter converts the columns of all files to one tensor per feature, so structure
and values equal those of tfx_bsl's TensorFlowDataset. A batch is a gather of row numbers in
TensorFlow's C++, without any Python code per row or batch. The examples of the requested splits
are kept in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import tensorflow as tf
from tensorflow_metadata.proto.v0.schema_pb2 import FeatureType, Schema
from tfx_bsl.public.tfxio import RecordBatchesOptions, TensorFlowDatasetOptions
from tfx_bsl.tfxio.tensor_adapter import TensorAdapter, TensorAdapterConfig
from tfx_bsl.tfxio.tensor_representation_util import InferTensorRepresentationsFromSchema

from prodml.data.examples_layout import PayloadFormat
from prodml.data.record_batches import read_record_batches
from prodml.errors import InputDataError
from prodml.suggestions import suggest

_VALUE_TYPES = {
    FeatureType.INT: pa.int64(),
    FeatureType.FLOAT: pa.float32(),
    FeatureType.BYTES: pa.large_binary(),
}


def tf_dataset(
    files: Sequence[str],
    payload: PayloadFormat,
    options: TensorFlowDatasetOptions,
    schema: Schema,
) -> tf.data.Dataset:
    """A dataset of batches: a dict of tensors by feature, or (dict, label) with a label_key.

    A feature is a dense tensor of shape (batch, ...) if it has a fixed shape in the schema, and
    otherwise a SparseTensor of shape (batch, longest row).

    Args:
        files: data files, read in this order.
        payload: format of the files.
        options: tfx_bsl's options. Each epoch shuffles all rows, with the seed: row numbers are
            small, and if rows are ordered by time, a buffer of 10,000 rows would restrict each
            batch to a few days. So shuffle_buffer_size, the thread options and sloppy_ordering
            are ignored.
        schema: schema of the examples.

    Raises:
        InputDataError: the label is not in the schema, or the files do not match the schema.
    """
    names = [feature.name for feature in schema.feature]
    if options.label_key is not None and options.label_key not in names:
        raise InputDataError(
            f"label_key {options.label_key!r} is not in the schema"
            f"{suggest(options.label_key, names)}"
        )
    batch, representations = _columns(files, payload, schema)
    tensors = _tensors(batch, representations)
    indices = _batches_of_rows(batch.num_rows, options)

    def gather(index: Any) -> Any:
        features = {name: _gathered(tensor, index) for name, tensor in tensors.items()}
        if options.label_key is None:
            return features
        return features, features.pop(options.label_key)

    return indices.map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(
        options.prefetch_buffer_size
    )


def record_batch_iterator(
    files: Sequence[str], payload: PayloadFormat, options: RecordBatchesOptions, schema: Schema
) -> Iterator[pa.RecordBatch]:
    """Yields record batches with the schema's columns, in the shape of tf.Example.

    Args:
        files: data files, read in this order.
        payload: format of the files.
        options: tfx_bsl's options, with the same meaning as for `tf_dataset`.
        schema: schema of the examples.
    """
    batch, _ = _columns(files, payload, schema)
    table = pa.Table.from_batches([batch])
    for index in _batches_of_rows(batch.num_rows, options).as_numpy_iterator():
        (selected,) = table.take(pa.array(index)).combine_chunks().to_batches()
        yield selected


def _batches_of_rows(
    count: int, options: TensorFlowDatasetOptions | RecordBatchesOptions
) -> tf.data.Dataset:
    """The row numbers of each batch."""
    rows = tf.data.Dataset.range(count)
    if options.shuffle:
        rows = rows.shuffle(count, seed=options.shuffle_seed)
    drops_last = options.drop_final_batch or options.num_epochs is None
    return rows.repeat(options.num_epochs).batch(options.batch_size, drops_last)


def _columns(
    files: Sequence[str], payload: PayloadFormat, schema: Schema
) -> tuple[pa.RecordBatch, Any]:
    """All rows as one record batch with the schema's columns, and their tensor representations."""
    representations = InferTensorRepresentationsFromSchema(schema)
    arrow = pa.schema(
        [
            (feature.name, pa.large_list(_VALUE_TYPES[feature.type]))
            for feature in schema.feature
            if feature.name in representations
        ]
    )
    batches = [
        _with_columns(batch, arrow)
        for batch in read_record_batches(files, payload, columns=arrow.names)
    ]
    if not any(batch.num_rows for batch in batches):
        raise InputDataError(f"no rows in {', '.join(files)}")
    (combined,) = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return combined, representations


def _with_columns(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = []
    for field in schema:
        if field.name not in batch.schema.names:
            columns.append(pa.nulls(batch.num_rows, field.type))
            continue
        column = batch.column(field.name)
        if column.type != field.type and column.null_count < len(column):
            raise InputDataError(
                f"feature {field.name!r}: expected {field.type.value_type} as in the schema, got "
                f"{column.type.value_type}"
            )
        columns.append(column if column.type == field.type else pa.nulls(len(column), field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _tensors(batch: pa.RecordBatch, representations: Any) -> dict[str, Any]:
    """One tensor per feature with all rows; ragged instead of sparse."""
    adapter = TensorAdapter(TensorAdapterConfig(batch.schema, representations))
    try:
        with tf.device("CPU"):
            adapted = adapter.ToBatchTensors(batch, produce_eager_tensors=True)
    except ValueError as error:
        raise InputDataError(f"the examples do not match the schema: {error}") from error
    return {
        name: tf.RaggedTensor.from_sparse(tensor)
        if isinstance(tensor, tf.SparseTensor) and tensor.shape.rank == 2
        else tensor
        for name, tensor in adapted.items()
    }


def _gathered(tensor: Any, index: Any) -> Any:
    gathered = tf.gather(tensor, index)
    return gathered.to_sparse() if isinstance(gathered, tf.RaggedTensor) else gathered
