"""Runs TFMA over the examples in one Beam pipeline: all models and slices in one pass."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.metrics import Metrics, MetricsFilter

from prodml.components.evaluator.beam_errors import unwrapped_errors
from prodml.components.evaluator.candidates import Candidate
from prodml.components.evaluator.configuration import Evaluation
from prodml.components.evaluator.predictions import extractors, shared_models
from prodml.components.evaluator.tfma import constants, model_eval_lib
from prodml.components.evaluator.whole_batches.batch_extractors import batch_evaluators
from prodml.data.beam_source import ReadRecordBatches
from prodml.data.examples_layout import PayloadFormat
from prodml.data.record_batches import BATCH_SIZE, serialize_examples
from prodml.dsl.executor import Beam
from prodml.errors import InputDataError

_EVALUATED = "prodml.evaluator.evaluated"
_UNLABELLED = "prodml.evaluator.unlabelled"


@dataclass(frozen=True)
class Split:
    """A split to evaluate on: the files of all examples artifacts, in one payload format."""

    name: str
    files: Sequence[str]
    payload: PayloadFormat


@dataclass(frozen=True)
class Columns:
    """Columns of the examples that an evaluation reads.

    Attributes:
        keep: columns that TFMA itself reads; None for all. TFMA splits batches into rows in
            Python, so each column that is not kept saves time.
        labels: label columns; a row without a label is not evaluated.
        weights: weight columns; every evaluated row must have a weight.
        parsed: columns that the models parse from serialized tf.Example; None if unknown.
    """

    keep: Sequence[str] | None
    labels: Sequence[str]
    weights: Sequence[str] = ()
    parsed: Sequence[str] | None = None

    @property
    def read(self) -> Sequence[str] | None:
        """Columns to read from the files; None for all."""
        if self.keep is None or self.parsed is None:
            return None
        return sorted({*self.keep, *self.parsed})


@dataclass(frozen=True)
class SplitRows:
    """Numbers of rows of a split that were evaluated, and that were skipped without a label."""

    evaluated: int
    unlabelled: int


def analyze(
    splits: Sequence[Split],
    candidates: Sequence[Candidate],
    evaluation: Evaluation,
    columns: Columns,
    in_whole_batches: bool,
    output: str,
    runner: Beam,
    batch_size: int = BATCH_SIZE,
) -> Mapping[str, SplitRows]:
    """Writes an evaluation that `tfma.load_eval_result` reads, and its validation.

    Args:
        splits: the splits to evaluate on.
        candidates: the models to evaluate.
        evaluation: the complete Evaluation.
        columns: the columns to read.
        in_whole_batches: whether metrics are computed on whole batches; see `row_by_row_reasons`.
        output: directory to write to.
        runner: opens the Beam pipeline.
        batch_size: maximum number of rows in a batch.

    Returns:
        The numbers of rows of each split, by its name.

    Raises:
        InputDataError: labels or weights are missing, or a metric cannot be computed from them.
        ModelContractError: a model cannot be evaluated.
    """
    config = evaluation.config
    with unwrapped_errors(), _without_numpy_warnings(), runner.pipeline() as pipeline:
        batches = [
            pipeline
            | f"Read[{split.name}][{i}]"
            >> ReadRecordBatches(list(split.files), split.payload, columns.read, batch_size)
            | f"AddSerialized[{split.name}][{i}]" >> beam.ParDo(_AddSerialized(split.name, columns))
            for i, split in enumerate(splits)
        ]
        _ = (
            batches
            | beam.Flatten()
            | model_eval_lib.ExtractEvaluateAndWriteResults(
                eval_shared_model=shared_models(candidates),
                eval_config=config,
                extractors=extractors(config, candidates, in_whole_batches),
                evaluators=batch_evaluators(config) if in_whole_batches else None,
                output_path=output,
            )
        )
    return {
        split.name: SplitRows(
            _counted(pipeline.result, _EVALUATED, split.name),
            _counted(pipeline.result, _UNLABELLED, split.name),
        )
        for split in splits
    }


@contextlib.contextmanager
def _without_numpy_warnings() -> Iterator[None]:
    # A slice with one class has no AUC: TFMA divides zero by zero and correctly reports NaN.
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", category=RuntimeWarning, module="tensorflow_model_analysis"
        )
        yield


class _AddSerialized(beam.DoFn):  # type: ignore[misc]
    """Drops rows without a label, and adds each row as serialized tf.Example for the models."""

    def __init__(self, split: str, columns: Columns) -> None:
        self._split = split
        self._columns = columns
        self._evaluated = Metrics.counter(_EVALUATED, split)
        self._unlabelled = Metrics.counter(_UNLABELLED, split)

    def process(self, batch: pa.RecordBatch) -> Iterable[pa.RecordBatch]:
        labelled = self._labelled(batch)
        self._require_weights(labelled)
        self._evaluated.inc(labelled.num_rows)
        self._unlabelled.inc(batch.num_rows - labelled.num_rows)
        if labelled.num_rows:
            yield self._with_serialized(labelled)

    def _labelled(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        for label in self._columns.labels:
            index = batch.schema.get_field_index(label)
            if index < 0:
                return batch.slice(0, 0)
            has_label = _has_values(batch.column(index))
            if not pc.all(has_label).as_py():
                batch = batch.filter(has_label)
        return batch

    def _require_weights(self, batch: pa.RecordBatch) -> None:
        """Requires a weight in every row.

        TFMA assumes a weight of 1 if a whole batch lacks weights, and fails if a single row does.
        """
        for weight in self._columns.weights:
            index = batch.schema.get_field_index(weight)
            missing = batch.num_rows
            if index >= 0:
                missing -= pc.sum(_has_values(batch.column(index))).as_py() or 0
            if missing:
                raise InputDataError(
                    f"example_weight_key {weight!r} has no value in {missing} of "
                    f"{batch.num_rows} rows of split {self._split!r}; add a weight to every row, "
                    f"or remove example_weight_key"
                )

    def _with_serialized(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        keep = self._columns.keep
        kept = [name for name in batch.schema.names if keep is None or name in keep]
        offsets = pa.array(np.arange(batch.num_rows + 1, dtype=np.int64))
        serialized = serialize_examples(self._parsed(batch)).cast(pa.large_binary())
        return pa.RecordBatch.from_arrays(
            [
                *(batch.column(batch.schema.get_field_index(name)) for name in kept),
                pa.LargeListArray.from_arrays(offsets, serialized),
            ],
            [*kept, constants.ARROW_INPUT_COLUMN],
        )

    def _parsed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if self._columns.parsed is None:
            return batch
        names = [name for name in batch.schema.names if name in self._columns.parsed]
        if not names:  # A batch without columns would have no rows.
            return batch
        columns = [batch.column(batch.schema.get_field_index(name)) for name in names]
        return pa.RecordBatch.from_arrays(columns, names)


def _has_values(column: pa.Array) -> pa.Array:
    """Whether each row has a value that is not NaN; pandas writes missing values as NaN."""
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    has_values = pc.greater(lengths, 0)
    values = column.flatten()
    if not pa.types.is_floating(values.type) or not pc.any(pc.is_nan(values)).as_py():
        return has_values
    rows = pc.list_parent_indices(column).filter(pc.is_nan(values)).to_numpy()
    has_nan = np.isin(np.arange(len(column)), rows)
    return pc.and_not(has_values, pa.array(has_nan))


def _counted(result: Any, namespace: str, split: str) -> int:
    found = result.metrics().query(MetricsFilter().with_namespace(namespace).with_name(split))
    return sum(_value(counter) for counter in found["counters"])


def _value(counter: Any) -> int:
    # Runners report committed values, attempted ones, or both. Beam's own choice, `result`, takes a
    # committed zero for a missing value.
    return int(counter.attempted if counter.committed is None else counter.committed)
