"""Counters of rows, as the runners report them."""

import pytest
from apache_beam.metrics.execution import MetricKey, MetricResult
from apache_beam.metrics.metricbase import MetricName

from prodml.components.evaluator.analysis import _counted


class Finished:
    """The result of a pipeline with one counter."""

    def __init__(self, committed: int | None, attempted: int | None) -> None:
        key = MetricKey("AddSerialized", MetricName("evaluated", "eval"))
        self._counters = [MetricResult(key, committed, attempted)]

    def metrics(self) -> "Finished":
        return self

    def query(self, _: object) -> dict[str, list[MetricResult]]:
        return {"counters": self._counters}


@pytest.mark.parametrize(
    ("committed", "attempted", "rows"),
    [
        (0, None, 0),  # Prism has committed values only, and Beam's own `result` ignores a zero.
        (7, None, 7),
        (None, 7, 7),  # Flink and Spark have attempted values only.
        (0, 3, 0),  # Only committed values leave out what was counted twice.
    ],
)
def test_rows_are_counted_on_every_runner(
    committed: int | None, attempted: int | None, rows: int
) -> None:
    assert _counted(Finished(committed, attempted), "evaluated", "eval") == rows
