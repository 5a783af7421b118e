"""The arguments of a user's run_fn or tuner_fn: TFX's FnArgs and DataAccessor.

User modules import this file, so it imports no large library. The source of names and meanings is
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
    """Creates a tf.data.Dataset of examples."""

    def __call__(
        self,
        file_pattern: list[str],
        options: TensorFlowDatasetOptions,
        schema: Schema | None = None,
    ) -> tf.data.Dataset: ...


class RecordBatchFactory(Protocol):
    """Creates an iterator over Arrow record batches of examples."""

    def __call__(
        self,
        file_pattern: list[str],
        options: RecordBatchesOptions,
        schema: Schema | None = None,
    ) -> Iterator[pa.RecordBatch]: ...


@dataclass(frozen=True)
class DataAccessor:
    """Reads examples in any payload format.

    Attributes:
        tf_dataset_factory: called with file patterns such as `fn_args.train_files`, tfx_bsl's
            TensorFlowDatasetOptions and a schema, returns a dataset of batches: a dict of tensors
            by feature, or (dict, label) if the options set label_key.
        record_batch_factory: called with file patterns, tfx_bsl's RecordBatchesOptions and a
            schema, returns Arrow record batches.
        data_view_decode_fn: always None; prodml has no data views.
    """

    tf_dataset_factory: TfDatasetFactory
    record_batch_factory: RecordBatchFactory
    data_view_decode_fn: Callable[[Any], dict[str, Any]] | None = None


@dataclass
class FnArgs:
    """Arguments of a user's training or tuning function.

    Attributes:
        working_dir: temporary directory, removed at the end of the node.
        train_files: patterns of the files to train on.
        eval_files: patterns of the files to evaluate on.
        train_steps: number of steps to train, or None.
        eval_steps: number of steps to evaluate, or None.
        schema_path: path of the schema file, or None.
        schema_file: the same.
        transform_graph_path: directory of the transform graph, or None.
        transform_output: the same.
        data_accessor: reads the files.
        serving_model_dir: directory to write the SavedModel to.
        eval_model_dir: directory to write an evaluation model to, which TFMA does not need.
        model_run_dir: directory to write logs and checkpoints to.
        base_model: directory of a SavedModel to start from, or None.
        hyperparameters: KerasTuner's HyperParameters configuration, as a dict, or None.
        custom_config: the `custom_config` of the Trainer, or None.
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
