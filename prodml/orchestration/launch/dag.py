"""Runs the remaining nodes of a run as one Beam pipeline, each node inside its DoFn.

A DoFn carries its node's id. The work order of the run is its main input, and the reports of the
nodes that it waits for are its side inputs. So it can run on any worker that can reach ML Metadata
and the pipeline root.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.typehints.decorators import no_annotations

from prodml.compiler.spec import NodeSpec
from prodml.orchestration.events.announcements import Announcements
from prodml.orchestration.launch import peak_memory
from prodml.orchestration.launch.attempts import Watch
from prodml.orchestration.launch.launcher import Launcher
from prodml.orchestration.launch.output_capture import captured, captured_thread
from prodml.orchestration.launch.reports import NodeReport, take_reports, write_reports
from prodml.orchestration.launch.work_order import WorkOrder, run_on_worker
from prodml.orchestration.results import NodeResult


def run_nodes(
    order: WorkOrder,
    nodes: Sequence[NodeSpec],
    launcher: Launcher,
    announcements: Announcements,
) -> dict[str, NodeResult]:
    """Runs nodes, each after all nodes that it waits for.

    Args:
        nodes: nodes in topological order.
        launcher: used by DoFns in this process; in other processes, DoFns open their own.
        announcements: receives the events of the nodes that ran in other processes.

    Returns:
        The result of each node, successful or not.
    """
    with order.run.settings.dag.pipeline_of_long_steps(launcher) as pipeline:
        start = pipeline | "(start)" >> beam.Impulse()
        # Without declared types, Beam infers them from byte code, which takes 6 ms for each node.
        orders = start | "(order)" >> beam.ParDo(_EmitOrder(order)).with_output_types(Any)
        made: dict[str, Any] = {}
        for node in nodes:
            waits_for = [beam.pvalue.AsSingleton(made[id]) for id in node.waits_for if id in made]
            run = beam.ParDo(_RunNode(node), *waits_for).with_output_types(str)
            made[node.id] = orders | node.id >> run
        reports = map(beam.pvalue.AsSingleton, made.values())
        orders | "(results)" >> beam.ParDo(_WriteReports(), *reports).with_output_types(Any)
    found = take_reports(order.results)
    for report in found:
        announcements.replay(report.events, report.result)
    return {report.result.node_id: report.result for report in found}


class _EmitOrder(beam.DoFn):  # type: ignore[misc]  # Beam ships no types
    def __init__(self, order: WorkOrder) -> None:
        self._order = order

    def process(self, _: bytes) -> Iterator[WorkOrder]:
        yield self._order


class _RunNode(beam.DoFn):  # type: ignore[misc]
    """Runs a node; a `LocalDoFn` of ConcurrentRunner, whose `shared` is the run's launcher."""

    def __init__(self, node: NodeSpec) -> None:
        self._node_id = node.id
        self.is_thread_safe = node.is_thread_safe
        self._launcher: Launcher | None = None
        self._watch: Watch = _alone

    def use_process(self, shared: Launcher, is_alone: bool) -> None:
        self._launcher = shared
        self._watch = _alone if is_alone else captured_thread

    # Beam reads the annotation of *reports as that of a tuple.
    @no_annotations  # type: ignore[untyped-decorator]
    def process(self, order: WorkOrder, *reports: str) -> Iterator[str]:
        node = order.run.spec.node(self._node_id)
        results = [NodeReport.from_json(report).result for report in reports]
        ended = {**order.results_before, **{result.node_id: result for result in results}}
        waits_for = {id: ended[id] for id in node.waits_for}
        try:
            if self._launcher is not None:
                report = NodeReport(self._launcher.run(node, waits_for, self._watch))
            else:
                report = run_on_worker(order, node, waits_for, self._watch)
        except BaseException as error:
            # Beam would replace the error, for example a KeyboardInterrupt by a RuntimeError. It
            # does not replace an error with this mark.
            error._tagged_with_step = True  # type: ignore[attr-defined]
            raise
        yield report.to_json()


class _WriteReports(beam.DoFn):  # type: ignore[misc]
    """Writes the reports of all nodes for the process that drives the run."""

    @no_annotations  # type: ignore[untyped-decorator]
    def process(self, order: WorkOrder, *reports: str) -> None:
        write_reports(order.results, reports)


@contextlib.contextmanager
def _alone(log: str) -> Iterator[None]:
    # Not for concurrent nodes: the peak is that of the process, so a reset would affect others.
    peak_memory.reset_peak()
    with captured(log):
        yield
