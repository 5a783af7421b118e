"""The data that a process needs to run nodes of a run; Beam can send it to any worker."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from prodml import keras_choice
from prodml.compiler.spec import NodeSpec
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import LeaseRecord
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.code.user_types import load_user_types
from prodml.orchestration.events.announcements import Announcements
from prodml.orchestration.launch.attempts import Watch
from prodml.orchestration.launch.launcher import Launcher
from prodml.orchestration.launch.reports import EventBuffer, NodeReport
from prodml.orchestration.launch.run_context import RunContext
from prodml.orchestration.resolve.prepared_node import Preparer
from prodml.orchestration.results import NodeResult


@dataclass(frozen=True)
class WorkOrder:
    """One run, for the processes that run its nodes.

    Attributes:
        lease: the lease of the run.
        session: session of the run's own writer, which owns the executions that workers begin.
        results: file or URL for the reports of all nodes, which workers and the run can reach.
        results_before: results by node id, of the nodes that ended without Beam.
    """

    run: RunContext
    lease: LeaseRecord
    session: str
    results: str
    results_before: Mapping[str, NodeResult] = field(default_factory=dict)


def open_launcher(
    order: WorkOrder, reader: LineageReader, writer: LineageWriter, announcements: Announcements
) -> Launcher:
    """Prepares this process for the nodes of a run, and returns their launcher."""
    load_user_types(order.run.spec)
    keras_choice.choose(order.run.keras.process)
    settings = order.run.settings
    preparer = Preparer(order.run.spec, reader, settings.use_cache, settings.keras)
    return Launcher(order.run, preparer, reader, writer, announcements)


def run_on_worker(
    order: WorkOrder, node: NodeSpec, ended: Mapping[str, NodeResult], watch: Watch
) -> NodeReport:
    """Runs a node in a process that only has the run's work order.

    The node uses a new connection to ML Metadata. Its events are in the report, and the run
    announces them.

    Args:
        ended: results of the nodes that the node waits for.

    Raises:
        FencedError: another process took over the run.
        MetadataError: the store refused a read or write.
    """
    buffer, store = EventBuffer(), order.run.settings.open_store()
    announcements = Announcements(order.run.spec.name, order.run.run_id, _NoObserver(), [buffer])
    with contextlib.closing(announcements):
        reader, writer = LineageReader(store), LineageWriter(store, order.lease, order.session)
        result = open_launcher(order, reader, writer, announcements).run(node, ended, watch)
    return NodeReport(result, tuple(buffer.events))


class _NoObserver:
    """An observer that ignores all progress, for processes without a user."""

    def node_started(self, node_id: str, reason: str) -> None:
        pass

    def node_progress(self, node_id: str, done: int, total: int | None, unit: str) -> None:
        pass

    def node_retried(self, failed: NodeResult, wait_seconds: float) -> None:
        pass

    def node_finished(self, result: NodeResult) -> None:
        pass
