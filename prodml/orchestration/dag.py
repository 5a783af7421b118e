"""The nodes that are left of a run, as one Beam pipeline: a DoFn a node, results as side inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.typehints.decorators import no_annotations

from prodml.beam.profiles import RunnerProfile
from prodml.compiler.spec import NodeSpec
from prodml.orchestration.launcher import Launcher
from prodml.orchestration.results import NodeResult

# Beam pickles a DoFn even where it runs it in the same process, and a launcher holds a database
# connection. So the DoFn carries the run's id, and finds its launcher here.
_launchers: dict[str, Launcher] = {}


def run_nodes(
    run_id: str,
    launcher: Launcher,
    nodes: Sequence[NodeSpec],
    settled: Mapping[str, NodeResult],
) -> dict[str, NodeResult]:
    """Runs nodes so that each comes after its upstream.

    Args:
        nodes: in topological order.
        settled: results of the nodes that have ended already.

    Returns:
        A result for each node, whatever became of it.
    """
    _launchers[run_id] = launcher
    try:
        with RunnerProfile().pipeline() as pipeline:
            start = pipeline | "Start" >> beam.Impulse()
            made: dict[str, Any] = {}
            for node in nodes:
                upstream = [made[id] for id in node.upstream if id in made]
                known = {id: settled[id] for id in node.upstream if id in settled}
                made[node.id] = start | node.id >> beam.ParDo(
                    _RunNode(run_id, node, known), *map(beam.pvalue.AsSingleton, upstream)
                )
        return {node.id: launcher.ended[node.id] for node in nodes}
    finally:
        del _launchers[run_id]


class _RunNode(beam.DoFn):  # type: ignore[misc]  # Beam ships no types
    def __init__(self, run_id: str, node: NodeSpec, known: Mapping[str, NodeResult]) -> None:
        self._run_id = run_id
        self._node = node
        self._known = known

    # Beam takes the annotation of *upstream for that of a tuple.
    @no_annotations  # type: ignore[untyped-decorator]
    def process(self, _: bytes, *upstream: Any) -> Iterator[NodeResult]:
        results = {**self._known, **{result.node_id: result for result in upstream}}
        yield _launchers[self._run_id].run(self._node, results)
