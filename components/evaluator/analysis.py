"""TFMA over the examples, in one Beam pipeline: both models, every slice, one pass."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics, MetricsFilter

from prodml.components.evaluator.contract import Candidate
from prodml.components.evaluator.tfma import constants, model_eval_lib
from prodml.data.beam_source import ReadRecordBatches
from prodml.data.payload import PayloadFormat
from prodml.data.record_batches import serialize_examples
from prodml.dsl.executor import Beam
from prodml.errors import InputDataError

_NAMESPACE = "prodml.evaluator"


@dataclass(frozen=True)
class Split:
    """A split to evaluate on: the files of all examples artifacts, in one payload format."""

    name: str
    files: Sequence[str]
    payload: PayloadFormat


def analyze(
    splits: Sequence[Split],
    candidates: Sequence[Candidate],
    evaluation: Any,
    keep: Sequence[str] | None,
    output: str,
    runner: Beam,
) -> Mapping[str, int]:
    """Writes an evaluation that `tfma.load_eval_result` reads, and its validation.

    Args:
        splits: what to evaluate on.
        candidates: the models.
        evaluation: the complete Evaluation.
        keep: columns that TFMA needs besides the serialized examples; None keeps all. TFMA
            splits batches into rows in Python: each column not kept saves time.
        output: directory to write to.
        runner: opens the Beam pipeline.

    Returns:
        How many rows of each split were evaluated.
    """
    config = evaluation.config
    models = [_shared_model(candidate, evaluation) for candidate in candidates]
    shared = models[0] if len(models) == 1 else models
    with _without_numpy_warnings(), runner.pipeline() as pipeline:
        batches = [
            pipeline
            | f"Read[{split.name}][{i}]" >> ReadRecordBatches(list(split.files), split.payload)
            | f"AddSerialized[{split.name}][{i}]"
            >> beam.ParDo(_AddSerialized(split.name, config, keep))
            for i, split in enumerate(splits)
        ]
        _ = (
            batches
            | beam.Flatten()
            | model_eval_lib.ExtractEvaluateAndWriteResults(
                eval_shared_model=shared, eval_config=config, output_path=output
            )
        )
    return {split.name: _counted(pipeline.result, split.name) for split in splits}


@contextlib.contextmanager
def _without_numpy_warnings() -> Iterator[None]:
    # A slice with one class has no AUC: TFMA divides zero by zero and reports NaN, as it should.
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", category=RuntimeWarning, module="tensorflow_model_analysis"
        )
        yield


def _shared_model(candidate: Candidate, evaluation: Any) -> Any:
    return model_eval_lib.default_eval_shared_model(
        eval_saved_model_path=candidate.model.serving_model_dir,
        model_name=candidate.spec.name,
        eval_config=evaluation.config,
        rubber_stamp=evaluation.are_changes_ignored,
    )


class _AddSerialized(beam.DoFn):  # type: ignore[misc]
    """Adds the rows as serialized tf.Example, which the models take, and counts them."""

    def __init__(self, split: str, config: Any, keep: Sequence[str] | None) -> None:
        self._split = split
        self._labels = sorted(
            {key for s in config.model_specs for key in (s.label_key, *s.label_keys.values())}
        )
        self._keep = keep
        self._rows = Metrics.counter(_NAMESPACE, split)

    def process(self, batch: pa.RecordBatch) -> Iterable[pa.RecordBatch]:
        self._require_labels(batch)
        serialized = serialize_examples(batch)
        kept = [n for n in batch.schema.names if self._keep is None or n in self._keep]
        offsets = pa.array(np.arange(batch.num_rows + 1, dtype=np.int64))
        rows = pa.LargeListArray.from_arrays(offsets, serialized.cast(pa.large_binary()))
        self._rows.inc(batch.num_rows)
        yield pa.RecordBatch.from_arrays(
            [*(batch.column(batch.schema.get_field_index(name)) for name in kept), rows],
            [*kept, constants.ARROW_INPUT_COLUMN],
        )

    def _require_labels(self, batch: pa.RecordBatch) -> None:
        for label in self._labels:
            index = batch.schema.get_field_index(label)
            missing = batch.column(index).null_count if index >= 0 else 0
            if missing:
                raise InputDataError(
                    f"label {label!r} is missing in {missing} of {batch.num_rows} rows of split "
                    f"{self._split!r}; rows to evaluate on need a label"
                )


def _counted(result: Any, split: str) -> int:
    found = result.metrics().query(MetricsFilter().with_namespace(_NAMESPACE).with_name(split))
    return sum(int(counter.result) for counter in found["counters"])
