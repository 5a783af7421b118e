"""What a process needs to run nodes of a run: data, so that Beam can send it to any worker."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from prodml import keras_choice
from prodml.compiler.spec import NodeSpec
from prodml.metadata.connection import Connection
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import LeaseRecord
from prodml.metadata.store import Store
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
    """One run, for whatever process runs its nodes.

    Attributes:
        metadata: where ML Metadata is.
        retry_seconds: how long the store is retried while it does not answer.
        lease: under which the run goes on.
        session: of the run's own writer, which owns what workers begin.
        use_cache: False runs every node.
        keras: what `tf.keras` means for nodes that do not say.
        results: file or URL, reached by workers and run, that gets the reports of all nodes.
        results_before: by node id, of the nodes that ended without Beam.
    """

    run: RunContext
    metadata: str | Connection
    retry_seconds: float
    lease: LeaseRecord
    session: str
    use_cache: bool
    keras: keras_choice.KerasName
    results: str
    results_before: Mapping[str, NodeResult] = field(default_factory=dict)


def open_launcher(
    order: WorkOrder, reader: LineageReader, writer: LineageWriter, announcements: Announcements
) -> Launcher:
    """Makes this process ready for the nodes of a run, and gives what launches them."""
    load_user_types(order.run.spec)
    keras_choice.choose(order.run.keras.process)
    preparer = Preparer(order.run.spec, reader, order.use_cache, order.keras)
    return Launcher(order.run, preparer, reader, writer, announcements)


def run_on_worker(
    order: WorkOrder, node: NodeSpec, ended: Mapping[str, NodeResult], watch: Watch
) -> NodeReport:
    """Runs a node in a process that has nothing of the run but its work order.

    It speaks to ML Metadata itself. What the run announces of it travels in the report.

    Args:
        ended: results of the nodes that it waits for.

    Raises:
        FencedError: another process took the run over.
        MetadataError: the store refused a read or write.
    """
    buffer, store = EventBuffer(), Store(order.metadata, order.retry_seconds)
    announcements = Announcements(order.run.spec.name, order.run.run_id, _Nobody(), [buffer])
    with contextlib.closing(announcements):
        reader, writer = LineageReader(store), LineageWriter(store, order.lease, order.session)
        result = open_launcher(order, reader, writer, announcements).run(node, ended, watch)
    return NodeReport(result, tuple(buffer.events))


class _Nobody:
    """The observer of a process in which no person waits."""

    def node_started(self, node_id: str, reason: str) -> None:
        pass

    def node_progress(self, node_id: str, done: int, total: int | None, unit: str) -> None:
        pass

    def node_retried(self, failed: NodeResult, wait_seconds: float) -> None:
        pass

    def node_finished(self, result: NodeResult) -> None:
        pass
