"""Runs a compiled pipeline: cached nodes end at once, the others run on Beam."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from prodml import keras_choice
from prodml.beam.profiles import RunnerProfile
from prodml.compiler.spec import PipelineSpec
from prodml.errors import (
    CancelledError,
    FencedError,
    MetadataUnavailableError,
    RequestError,
    RunFailedError,
)
from prodml.metadata.connection import Connection
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import LeaseRecord, RunRecord, RunState, State
from prodml.metadata.store import RETRY_SECONDS, Store
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.events.announcements import Announcements
from prodml.orchestration.events.event import EventSink
from prodml.orchestration.launch.failures import was_interrupted
from prodml.orchestration.launch.launcher import Launcher
from prodml.orchestration.launch.node_limits import NodeLimits
from prodml.orchestration.launch.output_capture import captured
from prodml.orchestration.launch.retries import RetryPolicy
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
from prodml.orchestration.recovery.earlier_attempts import RunHistory, run_history
from prodml.orchestration.resolve.keras_choices import keras_choices
from prodml.orchestration.results import NodeResult, Observer, RunResult
from prodml.storage.locations import is_url, join, normal

OpenSinks = Callable[[str], Sequence[EventSink]]
"""Gives the event sinks of a run, by its id."""


@dataclass(frozen=True)
class RunSettings:
    """Where a run keeps what it makes, and how it goes about it.

    Attributes:
        metadata: where ML Metadata is; a path is that of an SQLite file.
        pipeline_root: directory or URL of artifacts; each pipeline has its own below it.
        log_root: directory of captured output; each run has its own below it.
        runner: the Beam runner of data-parallel executors.
        use_cache: False runs every node.
        retry: when a node is tried again.
        limits: by node id, of those that have any.
        dag: the Beam runner that runs the nodes themselves.
        open_sinks: who is told what happens.
        wait: told for whom the run waits; None for not waiting where the pipeline is in use.
        scratch_root: directory for what is fetched from, and staged for, a pipeline root that is a
            URL; by default beside the logs.
        pipeline_file: the Python file with the pipeline, recorded for resuming the run.
        retry_seconds: how long the store is tried again while it does not answer.
        warn: told when the store does not answer and is waited for.
        keras: what `tf.keras` means in user modules whose component does not say.
    """

    metadata: str | Connection
    pipeline_root: str
    log_root: str
    runner: RunnerProfile = field(default_factory=RunnerProfile)
    use_cache: bool = True
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    limits: Mapping[str, NodeLimits] = field(default_factory=dict)
    dag: RunnerProfile = field(default_factory=RunnerProfile)
    open_sinks: OpenSinks = lambda run_id: ()
    wait: leases.Wait | None = None
    scratch_root: str = ""
    pipeline_file: str = ""
    retry_seconds: float = RETRY_SECONDS
    warn: Callable[[str], None] | None = None
    keras: keras_choice.KerasName = keras_choice.DEFAULT

    def open_store(self) -> Store:
        """A connection of its own for each thread."""
        return Store(self.metadata, self.retry_seconds, self.warn)


def run_pipeline(
    spec: PipelineSpec, settings: RunSettings, observer: Observer, resumed: RunRecord | None = None
) -> RunResult:
    """Runs a pipeline to its end; independent branches go on when one fails.

    Args:
        resumed: a run that did not end well, to go on with: its finished nodes are not run again.

    Raises:
        RunFailedError: a node failed; carries each node's cause. The result is in its `result`.
        CancelledError: a KeyboardInterrupt came; nothing is half-published.
        BusyError: another run of the pipeline goes on.
        RootError: the pipeline root belongs to another store.
        FencedError: another process took this one for dead, and goes on with the run.
        RequestError: a node has limits that the pipeline does not have; the run to resume is
            complete.
        MetadataError: the store refused a read or write.
    """
    _check_limits(spec, settings)
    run_id = resumed.run_id if resumed else new_run_id()
    store = settings.open_store()
    with leases.hold(settings.open_store, spec.name, run_id, settings.wait) as lease:
        fail_dead_runs(store)
        try:
            return _run_held(spec, settings, observer, store, lease, resumed)
        except KeyboardInterrupt:
            # Before its first node, or after its last.
            cancel_run_of_this_process(store)
            raise


def _run_held(
    spec: PipelineSpec,
    settings: RunSettings,
    observer: Observer,
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
    announcements = Announcements(spec.name, run_id, observer, settings.open_sinks(run_id))
    with contextlib.closing(announcements):
        run = RunContext(
            spec,
            run_id,
            root,
            scratch,
            os.path.join(settings.log_root, run_id),
            settings.runner,
            settings.retry,
            settings.limits,
            _begin(reader, writer, spec, settings, (root, scratch), lease, resumed),
            keras_choices(spec, settings.keras),
        )
        order = WorkOrder(
            run,
            settings.metadata,
            settings.retry_seconds,
            lease,
            writer.session,
            settings.use_cache,
            settings.keras,
            _results_place(run),
        )
        announcements.run_started(is_resumed=resumed is not None)
        return _to_the_end(order, settings.dag, reader, writer, announcements)


def _results_place(run: RunContext) -> str:
    """A file that the process of each node can write: the pipeline root is all that they share."""
    is_shared = is_url(run.pipeline_root)
    return join(run.pipeline_root if is_shared else run.log_dir, f"{run.run_id}.results.json")


def _to_the_end(
    order: WorkOrder,
    dag: RunnerProfile,
    reader: LineageReader,
    writer: LineageWriter,
    announcements: Announcements,
) -> RunResult:
    started, run = time.monotonic(), order.run
    run_id = run.run_id

    def end(state: RunState, message: str = "") -> None:
        is_recorded = writer.end_run(run_id, state, message, order.lease.id)
        if not is_recorded:
            state, message = RunState.FAILED, _closed(run_id)
        announcements.run_ended(state, message, time.monotonic() - started)
        if not is_recorded:
            raise FencedError(message)

    try:
        launcher = open_launcher(order, reader, writer, announcements)
        ended = _run_nodes(order, dag, launcher, announcements)
    except FencedError as error:
        announcements.run_ended(RunState.FAILED, str(error), time.monotonic() - started)
        raise
    except MetadataUnavailableError as error:
        # How it ended cannot be recorded. Whoever looks next finds its process gone.
        announcements.run_ended(RunState.FAILED, str(error), time.monotonic() - started)
        raise MetadataUnavailableError(
            f"{error}; when the store answers again: prodml run --resume {run_id}"
        ) from error
    except BaseException as error:
        if was_interrupted(error):
            _clean_up(run, reader, writer, State.CANCELED)
            end(RunState.CANCELED, "stopped by the user or the system")
            raise CancelledError(
                f"run {run_id} was cancelled; what had ended is kept, to go on: "
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


def _closed(run_id: str) -> str:
    return (
        f"run {run_id} was recorded as ended by another process, which took this one for dead, as "
        f"after a sleep; see `prodml runs`"
    )


def _clean_up(run: RunContext, reader: LineageReader, writer: LineageWriter, state: State) -> None:
    """Ends and removes what an interrupt, or an error of the engine, left half done.

    Only executions of this process: another one may have taken the run over, and go on with it.
    """
    own = [e.id for e in reader.executions_of_run(run.run_id) if writer.is_own(e)]
    ended = close_executions(reader, writer, own, state)
    remove_unfinished(run.pipeline_root, run.scratch_root, ended)


def _roots(spec: PipelineSpec, settings: RunSettings, owner: RootOwner) -> tuple[str, str]:
    """Where a pipeline's artifacts are published, and where they are staged if that is a URL.

    Stores that share a home have pipelines and executions of equal names and ids.
    """
    root = join(normal(settings.pipeline_root), spec.name)
    scratch = os.path.abspath(settings.scratch_root or f"{settings.log_root}.scratch")
    return root, os.path.join(scratch, owner.store_id, spec.name)


def new_run_id() -> str:
    """A unique id that sorts by time, in UTC: `20260131-235959-1a2b3c`."""
    now = datetime.datetime.now(datetime.UTC)
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def _begin(
    reader: LineageReader,
    writer: LineageWriter,
    spec: PipelineSpec,
    settings: RunSettings,
    roots: tuple[str, str],
    lease: LeaseRecord,
    resumed: RunRecord | None,
) -> RunHistory:
    """Records that the run goes on; gives what it did before."""
    root, scratch = roots
    if resumed is None:
        parameters = json.dumps({p.name: p.value for p in spec.parameters}, sort_keys=True)
        writer.begin_run(
            spec.name,
            lease.run_id,
            parameters,
            lease.id,
            settings.pipeline_file,
            root,
            settings.use_cache,
        )
        return RunHistory()
    # Read again under the lease: another process may have finished it meanwhile.
    if reader.run(resumed.run_id).state is RunState.COMPLETE:
        raise RequestError(f"run {resumed.run_id} is complete, there is nothing to resume")
    executions = reader.executions_of_run(resumed.run_id)
    running = [e.id for e in executions if e.state is State.RUNNING]
    close_executions(reader, writer, running, State.FAILED)
    # As they are recorded now: one may have become COMPLETE while it was about to be closed.
    executions = reader.executions_of_run(resumed.run_id)
    remove_unfinished(root, scratch, executions)
    writer.resume_run(resumed.run_id, lease.id)
    return run_history(reader, executions)


def _check_limits(spec: PipelineSpec, settings: RunSettings) -> None:
    known = {node.id for node in spec.nodes}
    unknown = sorted(settings.limits.keys() - known)
    if unknown:
        raise RequestError(
            f"the configuration has limits for {', '.join(unknown)}, but pipeline {spec.name} has "
            f"no such node; it has: {', '.join(sorted(known))}"
        )


def _cause(node: NodeResult) -> str:
    """Why a node failed, with the place of all that it printed."""
    if not node.log or node.log in node.message:
        return node.message
    return f"{node.message}\n    its output is in {node.log}"


def _run_nodes(
    order: WorkOrder, dag: RunnerProfile, launcher: Launcher, announcements: Announcements
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
            # Only now: a run that is fully cached never pays for importing Beam.
            from prodml.orchestration.launch.dag import run_nodes

            rest = dataclasses.replace(order, results_before=results)
            results = {**results, **run_nodes(rest, left, dag, launcher, announcements)}
    return tuple(results[node.id] for node in spec.nodes)
