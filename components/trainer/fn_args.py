"""What a user's run_fn, tuner_fn or tune function gets: TFX's FnArgs and DataAccessor.

User modules import this file, so it imports nothing heavy. The source of names and meanings is
TFX 1.16 (`tfx/components/trainer/fn_args_utils.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa
    import tensorflow as tf
    from tensorflow_metadata.proto.v0.schema_pb2 import Schema
    from tfx_bsl.public.tfxio import RecordBatchesOptions, TensorFlowDatasetOptions


class TfDatasetFactory(Protocol):
    """Makes a tf.data.Dataset of examples."""

    def __call__(
        self,
        file_pattern: list[str],
        options: TensorFlowDatasetOptions,
        schema: Schema | None = None,
    ) -> tf.data.Dataset: ...


class RecordBatchFactory(Protocol):
    """Makes an iterator of Arrow record batches of examples."""

    def __call__(
        self,
        file_pattern: list[str],
        options: RecordBatchesOptions,
        schema: Schema | None = None,
    ) -> Iterator[pa.RecordBatch]: ...


@dataclass(frozen=True)
class DataAccessor:
    """Reads examples, whatever format they are stored in.

    Attributes:
        tf_dataset_factory: called with file patterns such as `fn_args.train_files`, tfx_bsl's
            TensorFlowDatasetOptions and a schema, gives a dataset of batches: a dict of tensors
            by feature, or (dict, label) where the options name a label_key.
        record_batch_factory: called with file patterns, tfx_bsl's RecordBatchesOptions and a
            schema, gives Arrow record batches.
        data_view_decode_fn: always None; prodml has no data views.
    """

    tf_dataset_factory: TfDatasetFactory
    record_batch_factory: RecordBatchFactory
    data_view_decode_fn: Callable[[Any], dict[str, Any]] | None = None


@dataclass
class FnArgs:
    """Arguments of a user's training or tuning function.

    Attributes:
        working_dir: scratch directory, removed when the node has ended.
        train_files: patterns of the files to train on.
        eval_files: patterns of the files to evaluate on.
        train_steps: number of steps to train, or None.
        eval_steps: number of steps to evaluate, or None.
        schema_path: path of the schema file, or None.
        schema_file: the same.
        transform_graph_path: directory of the transform graph, or None.
        transform_output: the same.
        data_accessor: reads the files.
        serving_model_dir: where to write the SavedModel.
        eval_model_dir: where to write an evaluation model, which TFMA does not need.
        model_run_dir: where to write logs and checkpoints.
        base_model: directory of a SavedModel to start from, or None.
        hyperparameters: KerasTuner's HyperParameters configuration, as a dict, or None.
        custom_config: what the pipeline gave, or None.
    """

    working_dir: str | None = None
    train_files: list[str] | None = None
    eval_files: list[str] | None = None
    train_steps: int | None = None
    eval_steps: int | None = None
    schema_path: str | None = None
    schema_file: str | None = None
    transform_graph_path: str | None = None
    transform_output: str | None = None
    data_accessor: DataAccessor | None = None
    serving_model_dir: str | None = None
    eval_model_dir: str | None = None
    model_run_dir: str | None = None
    base_model: str | None = None
    hyperparameters: dict[str, Any] | None = None
    custom_config: dict[str, Any] | None = None
