"""Decides whether a model is blessed, and reports the deciding figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from prodml.artifacts import Model
from prodml.components.evaluator.configuration import Evaluation
from prodml.components.evaluator.tfma import (
    config_pb2,
    metric_specs,
    metric_types,
    model_eval_lib,
    model_util,
    slicer_lib,
)
from prodml.errors import ValidationError
from prodml.suggestions import suggest

_MAX_CHECKS_LISTED = 5


@dataclass(frozen=True)
class Verdict:
    """Whether a model is blessed, and the reason: one line with the deciding figures."""

    is_blessed: bool
    reason: str


@dataclass(frozen=True)
class _Check:
    """The result of one threshold on one slice.

    Attributes:
        text: description of the threshold, the slice and the figures.
        features: number of features that define the slice.
        is_met: whether the threshold was met.
    """

    text: str
    features: int
    is_met: bool


def reach_verdict(output: str, evaluation: Evaluation, baseline: Model | None) -> Verdict:
    """Reads the results of an analysis and decides whether the model is blessed.

    A model is blessed if at least one threshold was checked and all were met, or if only change
    thresholds are configured and there is no baseline model. Without any threshold, the model is
    not blessed: a forgotten threshold must not approve a model.

    Args:
        output: the directory with the results of the analysis.
        evaluation: the configuration of the evaluation.
        baseline: the baseline model, or None.

    Raises:
        ValidationError: a slice that a threshold names has no rows.
    """
    comparison = _comparison(evaluation, baseline)
    if not evaluation.has_thresholds:
        if evaluation.unchecked_changes:
            return Verdict(True, f"no value threshold is set; {comparison}")
        return Verdict(
            False,
            "no threshold is set; add a value_threshold to a metric of eval_config",
        )
    validation = model_eval_lib.load_validation_result(output)
    missing = [*validation.missing_slices, *validation.missing_cross_slices]
    if missing:
        raise ValidationError(
            f"threshold on a slice without rows: {'; '.join(map(_spec_text, missing))}; "
            f"fix the slice in eval_config, or evaluate on examples with such rows"
        )
    found = _checks(output, evaluation.config, _failures(validation))
    checks = sorted(found, key=lambda check: (check.features, check.text))
    failed = [check.text for check in checks if not check.is_met]
    if not validation.validation_ok:
        return Verdict(False, f"{_listed(failed)}; {comparison}")
    if not checks:
        return Verdict(
            False,
            "no threshold applies to the new model; set model_names of the metrics with thresholds "
            "to the candidate's name, or leave it empty",
        )
    return Verdict(True, f"{_listed([check.text for check in checks])}; {comparison}")


def _comparison(evaluation: Evaluation, baseline: Model | None) -> str:
    """Describes the comparison with the baseline model."""
    if baseline is not None:
        without = "" if evaluation.compares else ", not compared because no change_threshold is set"
        return f"baseline: model {baseline.id}{without}"
    if evaluation.unchecked_changes:
        changes = ", ".join(evaluation.unchecked_changes)
        return f"no baseline: the change thresholds of {changes} were ignored"
    return "no baseline: only value thresholds were checked"


def _checks(output: str, config: Any, failures: set[tuple[Any, ...]]) -> Iterator[_Check]:
    thresholds = metric_specs.metric_thresholds_from_metrics_specs(
        config.metrics_specs, eval_config=config
    )
    baseline = model_util.get_baseline_model_spec(config)
    baseline_name = baseline.name if baseline else None
    for sliced in model_eval_lib.load_metrics(output):
        is_cross = sliced.HasField("cross_slice_key")
        key = (
            slicer_lib.deserialize_cross_slice_key(sliced.cross_slice_key)
            if is_cross
            else slicer_lib.deserialize_slice_key(sliced.slice_key)
        )
        values = {
            metric_types.MetricKey.from_proto(item.key): item.value.double_value.value
            for item in sliced.metric_keys_and_values
        }
        for metric, bounds in thresholds.items():
            if metric.model_name == baseline_name:
                continue
            for spec, bound in bounds:
                if not _applies(spec, key, is_cross):
                    continue
                is_met = (key, metric, bound.SerializeToString()) not in failures
                where = _slice_text(key, is_cross)
                text = _check_text(metric, baseline_name, where, values, bound, is_met)
                yield _Check(text, len(key), is_met)


def _failures(validation: Any) -> set[tuple[Any, ...]]:
    found = set()
    for sliced in validation.metric_validations_per_slice:
        key = (
            slicer_lib.deserialize_cross_slice_key(sliced.cross_slice_key)
            if sliced.HasField("cross_slice_key")
            else slicer_lib.deserialize_slice_key(sliced.slice_key)
        )
        for failure in sliced.failures:
            threshold = failure.metric_threshold
            bound = getattr(
                threshold, threshold.WhichOneof("validate_absolute") or "change_threshold"
            )
            metric = metric_types.MetricKey.from_proto(failure.metric_key)
            found.add((key, metric, bound.SerializeToString()))
    return found


def _applies(spec: Any, key: Any, is_cross: bool) -> bool:
    if spec is None:
        return not is_cross
    is_cross_spec = spec.DESCRIPTOR.name == "CrossSlicingSpec"
    if is_cross or is_cross_spec:
        return (
            is_cross
            and is_cross_spec
            and bool(
                slicer_lib.is_cross_slice_applicable(cross_slice_key=key, cross_slicing_spec=spec)
            )
        )
    return bool(slicer_lib.SingleSliceSpec(spec=spec).is_slice_applicable(key))


def _check_text(
    metric: Any,
    baseline_name: str | None,
    where: str,
    values: dict[Any, float],
    bound: Any,
    is_met: bool,
) -> str:
    name = metric.name if not metric.output_name else f"{metric.output_name} {metric.name}"
    if not values:
        return f"{name}{where} was not computed: fewer rows than min_slice_size"
    if metric not in values:
        return f"{name}{where} was not computed{suggest(name, _names(values))}"
    value = values[metric]
    verb = "is" if is_met else "is not"
    if bound.DESCRIPTOR.name == "GenericValueThreshold":
        figure = f"{name}{where} {_figure(value)}"
        return f"{figure} {verb} {_value_bounds(bound)}"
    baseline = values.get(metric.make_baseline_key(baseline_name))
    against = f" from the baseline's {_figure(baseline)}" if baseline is not None else ""
    return f"{name}{where} changed by {value:+.4g}{against}, which {verb} {_change_bounds(bound)}"


def _names(values: Iterable[Any]) -> set[str]:
    return {metric.name for metric in values}


def _figure(value: float) -> str:
    return "NaN" if math.isnan(value) else f"{value:.4g}"


def _value_bounds(bound: Any) -> str:
    parts = []
    if bound.HasField("lower_bound"):
        parts.append(f"at least {bound.lower_bound.value:g}")
    if bound.HasField("upper_bound"):
        parts.append(f"at most {bound.upper_bound.value:g}")
    return " and ".join(parts)


def _change_bounds(bound: Any) -> str:
    is_low_better = bound.direction == config_pb2.MetricDirection.LOWER_IS_BETTER
    word = "at most" if is_low_better else "at least"
    parts = []
    if bound.HasField("absolute"):
        parts.append(f"{word} {bound.absolute.value:+g}")
    if bound.HasField("relative"):
        parts.append(f"{word} {bound.relative.value:+.4g} of it")
    return " and ".join(parts)


def _slice_text(key: Any, is_cross: bool) -> str:
    if is_cross:
        baseline, compared = key
        return f" of {_plain(compared)} against {_plain(baseline)}"
    return f" of {_plain(key)}" if key else ""


def _plain(key: Any) -> str:
    return ", ".join(f"{feature}={value}" for feature, value in key) or "all rows"


def _spec_text(spec: Any) -> str:
    values = [f"{feature}={value}" for feature, value in sorted(spec.feature_values.items())]
    return ", ".join([*values, *spec.feature_keys]) or "all rows"


def _listed(texts: list[str]) -> str:
    listed = "; ".join(texts[:_MAX_CHECKS_LISTED])
    rest = len(texts) - _MAX_CHECKS_LISTED
    return f"{listed}; and {rest} more" if rest > 0 else listed
