"""An evaluator for TFMA that computes metrics on whole batches of rows.

It replaces the middle of TFMA's evaluation. TFMA splits batches into rows and passes each row to
the combiner of each metric of each slice; here the terms of a batch are summed by slice
(`sums_by_key.py`), and Beam merges a few sums for each slice and batch. The steps before
(features, labels, weights, predictions) and after (derived metrics, differences, validation,
writers) are TFMA's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np

from prodml.components.evaluator.beam_errors import first_line
from prodml.components.evaluator.predictions import CHECKED_STAGE
from prodml.components.evaluator.tfma import (
    constants,
    evaluator,
    metric_specs,
    metric_types,
    metrics_validator,
    model_util,
    slicer_lib,
)
from prodml.components.evaluator.tfma import (
    metrics_plots_and_validations_evaluator as tfma_evaluator,
)
from prodml.components.evaluator.whole_batches.batch_slices import find_slices, slice_specs
from prodml.components.evaluator.whole_batches.counting_combiners import Summed, summed
from prodml.components.evaluator.whole_batches.prediction_histograms import derive
from prodml.components.evaluator.whole_batches.sums_by_key import Sums, Terms, merge, sum_by_group
from prodml.errors import InputDataError

_SliceSums = tuple[Any, tuple[int, tuple[Sums, ...]]]


def batch_evaluators(config: Any) -> list[Any]:
    """The evaluators to pass to TFMA, for a config without `row_by_row_reasons`."""
    return [
        evaluator.Evaluator(
            stage_name="EvaluateMetricsAndPlots",
            run_after=CHECKED_STAGE,
            ptransform=_Evaluate(config),
        )
    ]


def computations(specs: Sequence[Any], config: Any) -> Any:
    """TFMA's computations for the metrics of some `tfma.MetricsSpec`s, without duplicates."""
    return tfma_evaluator._filter_and_separate_computations(
        metric_specs.to_computations(specs, eval_config=config)
    )


class _Evaluate(beam.PTransform):  # type: ignore[misc]  # Beam ships no types
    def __init__(self, config: Any) -> None:
        self._config = config

    def expand(self, extracts: Any) -> Mapping[str, Any]:
        config = self._config
        separated = computations(config.metrics_specs, config)
        combiners = [computation.combiner for computation in separated.non_derived_computations]
        slices = extracts | "SumBySlice" >> beam.ParDo(_SumBySlice(config, combiners))
        baseline = model_util.get_baseline_model_spec(config)
        is_compared = bool(config.cross_slicing_specs or separated.ci_derived_computations)
        merging = _MergeSums(combiners, separated.derived_computations, is_compared)
        results = (
            slices
            | "MergeSums" >> beam.CombinePerKey(merging)
            | "AddCrossSliceAndDiffMetrics"
            >> tfma_evaluator._AddDerivedCrossSliceAndDiffMetrics(
                [],
                separated.cross_slice_computations,
                list(config.cross_slicing_specs),
                baseline.name if baseline else None,
            )
            | "AddCIDerivedMetrics"
            >> beam.Map(tfma_evaluator._add_ci_derived_metrics, separated.ci_derived_computations)
            | "RemovePrivateMetrics" >> beam.MapTuple(tfma_evaluator._remove_private_metrics)
        )
        min_rows = config.options.min_slice_size.value
        if min_rows > 1:
            counts = (
                slices
                | "CountRows" >> beam.MapTuple(lambda key, found: (key, found[0]))
                | "SumRows" >> beam.CombinePerKey(sum)
            )
            results = results | "FilterSmallSlices" >> slicer_lib.FilterOutSlices(counts, min_rows)
        evaluation = {
            name: results | f"Filter[{name}]" >> beam.Map(tfma_evaluator._filter_by_key_type, kind)
            for name, kind in (
                (constants.METRICS_KEY, metric_types.MetricKey),
                (constants.PLOTS_KEY, metric_types.PlotKey),
                (constants.ATTRIBUTIONS_KEY, metric_types.AttributionsKey),
            )
        }
        evaluation[constants.VALIDATIONS_KEY] = evaluation[
            constants.METRICS_KEY
        ] | "ValidateMetrics" >> beam.Map(metrics_validator.validate_metrics, config)
        return evaluation


class _SumBySlice(beam.DoFn):  # type: ignore[misc]  # Beam ships no types
    """Yields, for each slice in a batch, its number of rows and the sums of each combiner."""

    def __init__(self, config: Any, combiners: Sequence[Any]) -> None:
        self._config = config
        self._combiners = combiners

    def setup(self) -> None:
        self._specs = slice_specs(self._config)
        self._summed = _all_summed(self._combiners)
        models = [spec.name for spec in self._config.model_specs]
        self._models = models if len(models) > 1 else []

    def process(self, extracts: Mapping[str, Any]) -> Iterator[_SliceSums]:
        _require_numbers(extracts)
        keys, membership = find_slices(extracts, self._specs, self._models)
        sums = [sum_by_group(_terms(each, extracts), membership) for each in self._summed]
        counts = np.bincount(membership.groups, minlength=membership.count).tolist()
        for group, key in enumerate(keys):
            yield key, (counts[group], tuple(of_slices[group] for of_slices in sums))


def _terms(metric: Summed, extracts: Mapping[str, Any]) -> Terms:
    try:
        return metric.terms(extracts)
    except ValueError as error:
        raise InputDataError(
            f"the metrics of eval_config cannot be computed from the labels and predictions: "
            f"{first_line(error)}"
        ) from error


class _MergeSums(beam.CombineFn):  # type: ignore[misc]  # Beam ships no types
    """Merges the sums of a slice, and computes the metrics from them with TFMA's combiners."""

    def __init__(self, combiners: Sequence[Any], derived: Sequence[Any], is_compared: bool) -> None:
        self._combiners = combiners
        self._derived = derived
        self._is_compared = is_compared

    def create_accumulator(self) -> list[tuple[Sums, ...]]:
        return []

    def add_input(
        self, accumulator: list[tuple[Sums, ...]], element: tuple[int, tuple[Sums, ...]]
    ) -> list[tuple[Sums, ...]]:
        return [*accumulator, element[1]]

    def merge_accumulators(
        self, accumulators: Iterable[list[tuple[Sums, ...]]]
    ) -> list[tuple[Sums, ...]]:
        return self.compact([sums for accumulator in accumulators for sums in accumulator])

    def compact(self, accumulator: list[tuple[Sums, ...]]) -> list[tuple[Sums, ...]]:
        if len(accumulator) < 2:
            return accumulator
        return [tuple(merge(each) for each in zip(*accumulator, strict=True))]

    def extract_output(self, accumulator: list[tuple[Sums, ...]]) -> dict[Any, Any]:
        [merged] = self.compact(accumulator)
        every = _all_summed(self._combiners)
        metrics: dict[Any, Any] = {}
        for each, sums in zip(every, merged, strict=True):
            metrics.update(each.metrics(sums))
        for computation in self._derived:
            metrics.update(derive(computation, metrics))
        if self._is_compared:
            return metrics
        # Beam encodes each output to measure its size, and a histogram has 10,000 objects.
        return dict(tfma_evaluator._remove_private_metrics((), metrics)[1])


def _require_numbers(extracts: Mapping[str, Any]) -> None:
    """Raises if labels or weights are not one number per row.

    TFMA's extracts have no numeric array in that case.
    """
    for what, kind in ((constants.LABELS_KEY, "label"), (constants.EXAMPLE_WEIGHTS_KEY, "weight")):
        for value in _leaves(extracts.get(what)):
            if not isinstance(value, np.ndarray) or value.dtype.kind not in "iufb":
                raise InputDataError(
                    f"expected one number as {kind} in every row, as in the first rows, got rows "
                    f"with none, with several, or with another type"
                )


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for part in value.values():
            yield from _leaves(part)
    elif value is not None:
        yield value


def _all_summed(combiners: Sequence[Any]) -> list[Summed]:
    return [each for each in map(summed, combiners) if each is not None]
