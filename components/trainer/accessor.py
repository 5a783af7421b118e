"""The DataAccessor of one training: reads the examples, and counts the rows that are read."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from prodml.artifacts import Examples
from prodml.components.trainer.fn_args import DataAccessor
from prodml.components.trainer.training_progress import TrainingProgress
from prodml.data.examples_layout import ROW_COUNTS, PayloadFormat, payload_format, row_count
from prodml.data.record_batches import read_record_batches
from prodml.data.tf_dataset import record_batch_iterator, tf_dataset
from prodml.dsl.executor import ExecutorContext
from prodml.errors import InputDataError

_FEATURE_TYPES = {
    pa.int64(): schema_pb2.INT,
    pa.float32(): schema_pb2.FLOAT,
    pa.large_binary(): schema_pb2.BYTES,
}


class ExamplesAccess:
    """Provides the examples to a user's module, and counts the rows and batches that it reads.

    Args:
        examples: the artifacts to read, all of one payload format.
        context: receives progress and row counts; its parameters `train_args`, `eval_args` and
            `seed` are used.

    Raises:
        InputDataError: the artifacts have different payload formats.
    """

    def __init__(self, examples: Sequence[Examples], context: ExecutorContext) -> None:
        self._examples = examples
        self._context = context
        self._payload = _only_format(examples)
        self._seed: int | None = context.parameters["seed"]
        train, evaluation = context.parameters["train_args"], context.parameters["eval_args"]
        self._train = TrainingProgress(train.splits, train.num_steps or None, context.reporter)
        self._eval = TrainingProgress(evaluation.splits)

    def patterns(self, splits: Sequence[str]) -> list[str]:
        """File patterns of the splits, for `fn_args.train_files` and `fn_args.eval_files`.

        Raises:
            InputDataError: a split does not exist.
        """
        found = []
        for split in splits:
            for examples in self._examples:
                if split not in examples.split_names:
                    raise InputDataError(
                        f"expected a split {split!r} in {examples.uri}, got "
                        f"{', '.join(examples.split_names) or 'none'}; set splits of TrainArgs "
                        f"and EvalArgs"
                    )
                found.append(os.path.join(examples.split_uri(split), "*"))
        return found

    def first_rows(self, count: int) -> pa.RecordBatch:
        """The first rows of the training splits.

        Raises:
            InputDataError: the training splits have no rows.
        """
        files = _files(self.patterns(self._train.splits))
        for batch in read_record_batches(files, self._payload, batch_size=count):
            if batch.num_rows:
                return batch
        raise InputDataError(f"no rows in {', '.join(files)}")

    def data_accessor(self) -> DataAccessor:
        return DataAccessor(
            tf_dataset_factory=self._tf_dataset, record_batch_factory=self._record_batches
        )

    def reconcile(self) -> None:
        """Records how many rows `run_fn` read at least once.

        Does nothing if the examples were imported without row counts.
        """
        if any(ROW_COUNTS not in examples.custom_properties for examples in self._examples):
            return
        for progress in (self._train, self._eval):
            rows = sum(row_count(e, split) for e in self._examples for split in progress.splits)
            used = min(progress.rows, rows)
            unread = {"never read by run_fn": rows - used} if used < rows else None
            self._context.reconcile("+".join(progress.splits), rows, used, unread)

    def _tf_dataset(
        self, file_pattern: Sequence[str] | str, options: Any, schema: Any = None
    ) -> tf.data.Dataset:
        if schema is None:
            raise InputDataError(
                "tf_dataset_factory needs a schema to know the shapes of tensors; pass the schema "
                "of fn_args.schema_path, or the transform graph's schema for transformed examples"
            )
        dataset = tf_dataset(_files(file_pattern), self._payload, self._seeded(options), schema)
        progress = self._progress(file_pattern)
        return dataset if progress is None else progress.counting(dataset)

    def _record_batches(
        self, file_pattern: Sequence[str] | str, options: Any, schema: Any = None
    ) -> Iterator[pa.RecordBatch]:
        files, progress = _files(file_pattern), self._progress(file_pattern)
        schema = schema or _schema_of_files(files, self._payload)
        for batch in record_batch_iterator(files, self._payload, self._seeded(options), schema):
            if progress is not None:
                progress.add(batch.num_rows)
            yield batch

    def _seeded(self, options: Any) -> Any:
        if options.shuffle and options.shuffle_seed is None:
            return options._replace(shuffle_seed=self._seed)
        return options

    def _progress(self, file_pattern: Sequence[str] | str) -> TrainingProgress | None:
        patterns = _as_list(file_pattern)
        for progress in (self._train, self._eval):
            if patterns == self.patterns(progress.splits):
                return progress
        return None


def _files(file_pattern: Sequence[str] | str) -> list[str]:
    patterns = _as_list(file_pattern)
    files = sorted({file for pattern in patterns for file in glob.glob(pattern)})
    if not files:
        raise InputDataError(
            f"no files match {', '.join(patterns)}; pass fn_args.train_files or fn_args.eval_files"
        )
    return files


def _as_list(file_pattern: Sequence[str] | str) -> list[str]:
    return [file_pattern] if isinstance(file_pattern, str) else list(file_pattern)


def _schema_of_files(files: Sequence[str], payload: PayloadFormat) -> schema_pb2.Schema:
    """A schema with the names and types of the files' columns, as tfx_bsl infers without one."""
    types = {
        field.name: _FEATURE_TYPES[field.type.value_type]
        for batch in read_record_batches(files, payload)
        for field in batch.schema
        if pa.types.is_large_list(field.type) and field.type.value_type in _FEATURE_TYPES
    }
    return schema_pb2.Schema(
        feature=[schema_pb2.Feature(name=name, type=types[name]) for name in sorted(types)]
    )


def _only_format(examples: Sequence[Examples]) -> PayloadFormat:
    formats = {payload_format(artifact) for artifact in examples}
    if len(formats) != 1:
        raise InputDataError(
            f"the examples of a training must have the same payload format, got "
            f"{', '.join(sorted(formats)) or 'no examples'}; ingest them with the same "
            f"payload_format"
        )
    return formats.pop()
