"""The nodes that are left of a run, as one Beam pipeline: a DoFn a node, results as side inputs.

A DoFn only submits its node, and hands on its id, which stands for the promise of a result. So
all of the graph is known before the first node runs, and branches can overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.typehints.decorators import no_annotations

from prodml.beam.profiles import RunnerProfile
from prodml.compiler.spec import NodeSpec
from prodml.orchestration.launch.launcher import Launcher
from prodml.orchestration.launch.schedule import Schedule
from prodml.orchestration.results import NodeResult

# Beam pickles a DoFn even where it runs it in the same process, and a launcher holds a database
# connection. So the DoFn carries the run's id, and finds the schedule of its run here.
_schedules: dict[str, Schedule] = {}


def run_nodes(
    run_id: str,
    launcher: Launcher,
    nodes: Sequence[NodeSpec],
    settled: Mapping[str, NodeResult],
) -> dict[str, NodeResult]:
    """Runs nodes so that each comes after all that it waits for.

    Args:
        nodes: in topological order.
        settled: results of the nodes that have ended already.

    Returns:
        A result for each node, whatever became of it.
    """
    schedule = _schedules[run_id] = Schedule(launcher, nodes, settled)
    try:
        with RunnerProfile().pipeline() as pipeline:
            start = pipeline | "(start)" >> beam.Impulse()
            made: dict[str, Any] = {}
            for node in nodes:
                upstream = [made[id] for id in node.waits_for if id in made]
                made[node.id] = start | node.id >> beam.ParDo(
                    _Submit(run_id, node), *map(beam.pvalue.AsSingleton, upstream)
                )
        schedule.run()
        return {node.id: launcher.ended[node.id] for node in nodes}
    finally:
        del _schedules[run_id]


class _Submit(beam.DoFn):  # type: ignore[misc]  # Beam ships no types
    def __init__(self, run_id: str, node: NodeSpec) -> None:
        self._run_id = run_id
        self._node = node

    # Beam takes the annotation of *upstream for that of a tuple.
    @no_annotations  # type: ignore[untyped-decorator]
    def process(self, _: bytes, *upstream: str) -> Iterator[str]:
        _schedules[self._run_id].submit(self._node)
        yield self._node.id
