"""TFMA's extractors, with a check of the models' predictions.

NaN is rejected here, for every metric: some of TFMA's metrics fail on NaN, and others, such as
MeanSquaredError, skip the row and would evaluate the model on the remaining rows only.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np

from prodml.components.evaluator.candidates import Candidate, Subject
from prodml.components.evaluator.tfma import (
    constants,
    extractor,
    model_eval_lib,
    predictions_extractor,
    unbatch_extractor,
)

CHECKED_STAGE = "CheckPredictions"
"""Name of the stage that checks the predictions."""

_PREDICTED = predictions_extractor.PREDICTIONS_EXTRACTOR_STAGE_NAME


def extractors(config: Any, candidates: Sequence[Candidate], in_whole_batches: bool) -> list[Any]:
    """TFMA's default extractors, with the check inserted after the predictions.

    Args:
        config: the complete `tfma.EvalConfig`.
        candidates: the models to evaluate.
        in_whole_batches: whether to omit the extractors that split batches into rows.
    """
    every = model_eval_lib.default_extractors(
        eval_config=config, eval_shared_model=shared_models(candidates)
    )
    if in_whole_batches:
        unbatch = unbatch_extractor.UNBATCH_EXTRACTOR_STAGE_NAME
        every = list(itertools.takewhile(lambda each: each.stage_name != unbatch, every))
    place = [each.stage_name for each in every].index(_PREDICTED) + 1
    check = extractor.Extractor(
        stage_name=CHECKED_STAGE, ptransform=beam.ParDo(_RefuseNaN(config, candidates))
    )
    return [*every[:place], check, *every[place:]]


def shared_models(candidates: Sequence[Candidate]) -> Any:
    """The models' `tfma.EvalSharedModel`, as TFMA expects them: a single one, or a list."""
    shared = [candidate.shared_model for candidate in candidates]
    return shared[0] if len(shared) == 1 else shared


def read_outputs(spec: Any, config: Any) -> frozenset[str]:
    """Names of the evaluated outputs; empty if the model's only output is evaluated.

    Args:
        spec: a `tfma.ModelSpec`.
        config: the `tfma.EvalConfig`.
    """
    names = [spec.prediction_key] if spec.prediction_key else list(spec.prediction_keys.values())
    names += [name for metrics in config.metrics_specs for name in metrics.output_names]
    return frozenset(names)


class _RefuseNaN(beam.DoFn):  # type: ignore[misc]  # Beam ships no types
    def __init__(self, config: Any, candidates: Sequence[Candidate]) -> None:
        self._models: list[tuple[str, Subject, frozenset[str]]] = [
            (each.spec.name, each.subject, read_outputs(each.spec, config)) for each in candidates
        ]

    def process(self, extracts: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        predictions = extracts[constants.PREDICTIONS_KEY]
        for name, subject, outputs in self._models:
            of_model = predictions[name] if len(self._models) > 1 else predictions
            for predicted in _read(of_model, outputs):
                _refuse_nan(predicted, subject)
        yield extracts


def _read(predictions: Any, outputs: frozenset[str]) -> Iterator[Any]:
    if not isinstance(predictions, Mapping):
        yield predictions
        return
    for name, predicted in predictions.items():
        if not outputs or name in outputs:
            yield predicted


def _refuse_nan(predicted: Any, subject: Subject) -> None:
    if not isinstance(predicted, np.ndarray) or predicted.dtype.kind != "f":
        return
    is_nan = np.isnan(predicted)
    if is_nan.any():
        rows = int(is_nan.reshape(len(is_nan), -1).any(axis=1).sum())
        raise subject.refusal(
            f"predicts NaN for {rows} of {len(is_nan)} rows",
            "check for a loss that became NaN in training, or for missing values in the features",
        )
