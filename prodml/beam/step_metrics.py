"""Collects the metrics of a pipeline's functions, by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from apache_beam.metrics.execution import MetricsContainer
from apache_beam.runners.worker import statesampler
from apache_beam.utils.counters import CounterFactory


class StepMetrics:
    """The counters, distributions and gauges of each step of one run."""

    def __init__(self) -> None:
        self._sampler = statesampler.StateSampler("pipeline", CounterFactory())
        self._containers: dict[str, MetricsContainer] = {}

    @contextmanager
    def collected(self) -> Iterator[None]:
        """A context manager: metrics that this thread updates in its block belong to this run."""
        outer = statesampler.get_current_tracker()
        statesampler.set_current_tracker(self._sampler)
        try:
            yield
        finally:
            statesampler.set_current_tracker(outer)

    def state_of(self, label: str) -> Any:
        """A context manager: metrics that are updated in its block belong to the step `label`.

        It can be entered many times, but it is not reentrant.
        """
        container = self._containers.setdefault(label, MetricsContainer(label))
        return self._sampler.scoped_state(label, "process", metrics_container=container)

    def monitoring_infos(self) -> Mapping[str, list[Any]]:
        """The collected metrics, in the form that Beam's results use."""
        return {
            label: list(container.to_runner_api_monitoring_infos(label).values())
            for label, container in self._containers.items()
        }
