"""Runs a compiled pipeline: cached nodes are resolved at once, the others run on Beam."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from prodml.compiler.spec import PipelineSpec
from prodml.errors import (
    CancelledError,
    FencedError,
    MetadataUnavailableError,
    RequestError,
    RunFailedError,
)
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import LeaseRecord, RunRecord, RunState, State
from prodml.metadata.run_writing import RunWriter
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.events.announcements import Announcements
from prodml.orchestration.events.sinks import OpenSinks
from prodml.orchestration.launch.failures import was_interrupted
from prodml.orchestration.launch.launcher import Launcher
from prodml.orchestration.launch.output_capture import captured
from prodml.orchestration.launch.run_context import RunContext
from prodml.orchestration.launch.work_order import WorkOrder, open_launcher
from prodml.orchestration.ownership import leases
from prodml.orchestration.ownership.root_ownership import RootOwner, claim, owner
from prodml.orchestration.recovery.dead_runs import (
    cancel_run_of_this_process,
    close_executions,
    fail_dead_runs,
    remove_staging,
    remove_unfinished,
)
from prodml.orchestration.recovery.run_start import new_run_id, record_start
from prodml.orchestration.resolve.keras_choices import keras_choices
from prodml.orchestration.results import NodeResult, Observer, RunResult
from prodml.orchestration.settings import RunSettings
from prodml.storage.locations import is_url, join, normalized


@dataclass(frozen=True)
class Callbacks:
    """Functions that a run calls, in the process that drives it.

    Attributes:
        open_sinks: opens the event sinks of the run, given its id.
        wait: called with the lease that blocks the run; None to fail if the pipeline is in use.
        warn: called with a message while the run waits for an unreachable store.
    """

    open_sinks: OpenSinks = lambda run_id: ()
    wait: leases.Wait | None = None
    warn: Callable[[str], None] | None = None


def run_pipeline(
    spec: PipelineSpec,
    settings: RunSettings,
    observer: Observer,
    resumed: RunRecord | None = None,
    callbacks: Callbacks = Callbacks(),
) -> RunResult:
    """Runs a pipeline to its end; if a branch fails, independent branches continue.

    Args:
        resumed: an unsuccessful run to resume: its completed nodes are not run again.

    Raises:
        RunFailedError: a node failed; contains the cause for each failed node. The run's result is
            in its `result`.
        CancelledError: the run was interrupted by a KeyboardInterrupt; nothing is partially
            published.
        BusyError: another run of the pipeline is active.
        ClaimedError: another run has one of the claims of the settings; this one is not recorded.
        RootError: the pipeline root belongs to another store.
        FencedError: another process assumed that this one is dead, and took over the run.
        RequestError: the limits name a node that the pipeline does not have; or the run to resume
            is complete.
        MetadataError: the store refused a read or write.
    """
    _check_limits(spec, settings)
    run_id = resumed.run_id if resumed else new_run_id()
    open_store = partial(settings.open_store, callbacks.warn)
    store = open_store()
    with leases.hold(open_store, spec.name, run_id, callbacks.wait) as lease:
        fail_dead_runs(store)
        try:
            open_sinks = callbacks.open_sinks
            return _run_locked(spec, settings, observer, open_sinks, store, lease, resumed)
        except KeyboardInterrupt:
            # The interrupt came before the first node, or after the last one.
            cancel_run_of_this_process(store)
            raise


def _run_locked(
    spec: PipelineSpec,
    settings: RunSettings,
    observer: Observer,
    open_sinks: OpenSinks,
    store: Store,
    lease: LeaseRecord,
    resumed: RunRecord | None,
) -> RunResult:
    run_id = lease.run_id
    reader, writer = LineageReader(store), LineageWriter(store, lease)
    ours = owner(store)
    claim(settings.pipeline_root, ours, reader.is_artifact_at)
    root, scratch = _roots(spec, settings, ours)
    remove_staging(reader, scratch if is_url(root) else root)
    announcements = Announcements(spec.name, run_id, observer, open_sinks(run_id))
    with contextlib.closing(announcements):
        run = RunContext(
            spec,
            run_id,
            root,
            scratch,
            settings,
            record_start(store, spec, settings, (root, scratch), lease, resumed),
            keras_choices(spec, settings.keras),
        )
        order = WorkOrder(run, lease, writer.session, _results_place(run))
        announcements.run_started(is_resumed=resumed is not None)
        return _run_to_end(order, store, reader, writer, announcements)


def _results_place(run: RunContext) -> str:
    """The file for the results of all nodes; every worker can reach it.

    Workers on other machines share only the pipeline root with this process.
    """
    is_shared = is_url(run.pipeline_root)
    return join(run.pipeline_root if is_shared else run.log_dir, f"{run.run_id}.results.json")


def _run_to_end(
    order: WorkOrder,
    store: Store,
    reader: LineageReader,
    writer: LineageWriter,
    announcements: Announcements,
) -> RunResult:
    started, run = time.monotonic(), order.run
    run_id = run.run_id

    def end(state: RunState, message: str = "") -> None:
        is_recorded = RunWriter(store).end_run(run_id, state, message, order.lease.id)
        if not is_recorded:
            state, message = RunState.FAILED, _closed_by_another_process(run_id)
        announcements.run_ended(state, message, time.monotonic() - started)
        if not is_recorded:
            raise FencedError(message)

    try:
        launcher = open_launcher(order, reader, writer, announcements)
        ended = _run_nodes(order, launcher, announcements)
    except FencedError as error:
        announcements.run_ended(RunState.FAILED, str(error), time.monotonic() - started)
        raise
    except MetadataUnavailableError as error:
        # The end cannot be recorded. The next command finds that the process is dead.
        announcements.run_ended(RunState.FAILED, str(error), time.monotonic() - started)
        raise MetadataUnavailableError(
            f"{error}; when the store is reachable again: prodml run --resume {run_id}"
        ) from error
    except BaseException as error:
        if was_interrupted(error):
            _clean_up(run, reader, writer, State.CANCELED)
            end(RunState.CANCELED, "stopped by the user or the system")
            raise CancelledError(
                f"run {run_id} was cancelled; completed nodes are kept; to resume the run: "
                f"prodml run --resume {run_id}"
            ) from error
        _clean_up(run, reader, writer, State.FAILED)
        end(RunState.FAILED, f"{type(error).__name__}: {error}")
        raise
    result = RunResult(run_id, run.spec.name, ended, time.monotonic() - started)
    if result.is_success:
        end(RunState.COMPLETE)
        return result
    failure = RunFailedError(run_id, [(node.node_id, _cause(node)) for node in result.failures])
    failure.result = result
    end(RunState.FAILED, str(failure))
    raise failure


def _closed_by_another_process(run_id: str) -> str:
    return (
        f"run {run_id} was recorded as ended by another process, because this process sent no "
        f"heartbeat for too long (for example, because the machine was asleep); see `prodml runs`"
    )


def _clean_up(run: RunContext, reader: LineageReader, writer: LineageWriter, state: State) -> None:
    """Ends unfinished executions of this process, and removes their files.

    Executions of other processes stay: another process may have taken over the run.
    """
    own = [e.id for e in reader.executions_of_run(run.run_id) if writer.is_own(e)]
    ended = close_executions(reader, writer, own, state)
    remove_unfinished(run.pipeline_root, run.scratch_root, ended)


def _roots(spec: PipelineSpec, settings: RunSettings, owner: RootOwner) -> tuple[str, str]:
    """The root of a pipeline's artifacts, and the directory for staging if the root is a URL.

    Staging directories contain the store's id, because pipelines and executions of different
    stores can have equal names and ids.
    """
    root = join(normalized(settings.pipeline_root), spec.name)
    scratch = os.path.abspath(settings.scratch_root or f"{settings.log_root}.scratch")
    return root, os.path.join(scratch, owner.store_id, spec.name)


def _check_limits(spec: PipelineSpec, settings: RunSettings) -> None:
    known = {node.id for node in spec.nodes}
    unknown = sorted(settings.limits.keys() - known)
    if unknown:
        raise RequestError(
            f"the configuration has limits for {', '.join(unknown)}, but pipeline {spec.name} has "
            f"no such node; it has: {', '.join(sorted(known))}"
        )


def _cause(node: NodeResult) -> str:
    """Why a node failed, with the path of its output."""
    if not node.log or node.log in node.message:
        return node.message
    return f"{node.message}\n    its output is in {node.log}"


def _run_nodes(
    order: WorkOrder, launcher: Launcher, announcements: Announcements
) -> tuple[NodeResult, ...]:
    spec = order.run.spec
    results: dict[str, NodeResult] = {}
    left = []
    for node in spec.nodes:
        if all(id in results for id in node.waits_for):
            result = launcher.resolve(node, {id: results[id] for id in node.waits_for})
            if result is not None:
                results[node.id] = result
                continue
        left.append(node)
    if left:
        with captured(os.path.join(order.run.log_dir, "beam.log")):
            # Imported here, so that a fully cached run does not import Beam.
            from prodml.orchestration.launch.dag import run_nodes

            rest = dataclasses.replace(order, results_before=results)
            results = {**results, **run_nodes(rest, left, launcher, announcements)}
    return tuple(results[node.id] for node in spec.nodes)
