"""Checks the metrics and thresholds of an EvalConfig before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prodml.components.evaluator.beam_errors import first_line
from prodml.components.evaluator.tfma import config_pb2, metric_specs, metric_types
from prodml.errors import InputDataError
from prodml.suggestions import suggest


def check_metrics(config: Any) -> None:
    """Instantiates every metric of a `tfma.EvalConfig`, and checks every threshold.

    Raises:
        InputDataError: a metric is unknown or its config is invalid, or a threshold has no bound
            or no direction; the message names the metric.
    """
    registered = metric_types.registered_metrics()
    for spec in config.metrics_specs:
        for metric in spec.metrics:
            try:
                metric_specs.metric_instance(metric, registered)
            except (ValueError, TypeError, ImportError, AttributeError) as error:
                raise InputDataError(
                    f"eval_config: metric {metric.class_name!r}: expected a metric of TFMA or "
                    f"Keras with its arguments as JSON in config, got: {first_line(error)}"
                ) from error
        for name, threshold in thresholds(spec):
            _check_threshold(name, threshold)


def check_threshold_names(config: Any) -> None:
    """Checks that every metric with a threshold is computed.

    Args:
        config: the complete `tfma.EvalConfig`.

    Raises:
        InputDataError: a metric is not computed; the message suggests a computed one.
    """
    named_by_thresholds = {
        name
        for spec in config.metrics_specs
        for named in (spec.thresholds, spec.per_slice_thresholds, spec.cross_slice_thresholds)
        for name in named
    }
    if not named_by_thresholds:
        return
    computations = metric_specs.to_computations(config.metrics_specs, eval_config=config)
    if not all(computation.keys for computation in computations):
        return  # A metric without keys names its results only while it is computed.
    # Names of intermediate results start with "_".
    known = {key.name for each in computations for key in each.keys if key.name[:1] != "_"}
    for name in sorted(named_by_thresholds - known):
        raise InputDataError(
            f"eval_config: threshold on metric {name!r}, which is not computed"
            f"{suggest(name, known)}"
        )


def thresholds(spec: Any) -> Iterator[tuple[str, Any]]:
    """Every `tfma.MetricThreshold` of a `tfma.MetricsSpec`, with the name of its metric."""
    for metric in spec.metrics:
        yield metric.class_name, metric.threshold
        for sliced in (*metric.per_slice_thresholds, *metric.cross_slice_thresholds):
            yield metric.class_name, sliced.threshold
    for name, threshold in spec.thresholds.items():
        yield name, threshold
    for per_metric in (spec.per_slice_thresholds, spec.cross_slice_thresholds):
        for name, named in per_metric.items():
            for sliced in named.thresholds:
                yield name, sliced.threshold


def _check_threshold(metric: str, threshold: Any) -> None:
    value, change = threshold.value_threshold, threshold.change_threshold
    if threshold.HasField("value_threshold") and not _has_bound(
        value, "lower_bound", "upper_bound"
    ):
        raise InputDataError(
            f"eval_config: the value_threshold of metric {metric!r} has no bound, so every value "
            f"would pass; set lower_bound or upper_bound"
        )
    if not threshold.HasField("change_threshold"):
        return
    if change.direction == config_pb2.UNKNOWN:
        raise InputDataError(
            f"eval_config: the change_threshold of metric {metric!r} has no direction; set it to "
            f"HIGHER_IS_BETTER or LOWER_IS_BETTER"
        )
    if not _has_bound(change, "absolute", "relative"):
        raise InputDataError(
            f"eval_config: the change_threshold of metric {metric!r} has no bound, so every change "
            f"would pass; set absolute or relative"
        )


def _has_bound(threshold: Any, *bounds: str) -> bool:
    return any(threshold.HasField(bound) for bound in bounds)
