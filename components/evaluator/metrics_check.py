"""Metrics and thresholds of an EvalConfig, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prodml.components.evaluator.tfma import config_pb2, metric_specs, metric_types
from prodml.errors import InputDataError


def check_metrics(config: Any) -> None:
    """Makes every metric of a `tfma.EvalConfig` once, and looks at every threshold.

    Raises:
        InputDataError: a metric is unknown or its config does not fit, or a change threshold has
            no direction; names the metric.
    """
    registered = metric_types.registered_metrics()
    for spec in config.metrics_specs:
        for metric in spec.metrics:
            try:
                metric_specs.metric_instance(metric, registered)
            except (ValueError, TypeError, ImportError, AttributeError) as error:
                raise InputDataError(
                    f"eval_config: metric {metric.class_name!r}: expected a metric of TFMA or "
                    f"Keras with a config of its arguments as JSON, got: {_first_line(error)}"
                ) from error
        for name, threshold in _thresholds(spec):
            _check_threshold(name, threshold)


def _thresholds(spec: Any) -> Iterator[tuple[str, Any]]:
    for metric in spec.metrics:
        yield metric.class_name, metric.threshold
        for sliced in (*metric.per_slice_thresholds, *metric.cross_slice_thresholds):
            yield metric.class_name, sliced.threshold
    for name, threshold in spec.thresholds.items():
        yield name, threshold
    for thresholds in (spec.per_slice_thresholds, spec.cross_slice_thresholds):
        for name, named in thresholds.items():
            for sliced in named.thresholds:
                yield name, sliced.threshold


def _check_threshold(metric: str, threshold: Any) -> None:
    change = threshold.change_threshold
    if threshold.HasField("change_threshold") and change.direction == config_pb2.UNKNOWN:
        raise InputDataError(
            f"eval_config: the change_threshold of metric {metric!r} has no direction; set it to "
            f"HIGHER_IS_BETTER or LOWER_IS_BETTER"
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
