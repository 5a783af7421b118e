"""Records that a run starts, or resumes with the results of its earlier processes."""

from __future__ import annotations

import datetime
import json
import secrets

from prodml.compiler.spec import PipelineSpec
from prodml.errors import RequestError
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import LeaseRecord, RunRecord, RunState, State
from prodml.metadata.run_writing import RunWriter
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.recovery.dead_runs import close_executions, remove_unfinished
from prodml.orchestration.recovery.earlier_attempts import RunHistory, run_history
from prodml.orchestration.settings import RunSettings


def new_run_id() -> str:
    """A unique id that sorts by time, in UTC: `20260131-235959-1a2b3c`."""
    now = datetime.datetime.now(datetime.UTC)
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def record_start(
    store: Store,
    spec: PipelineSpec,
    settings: RunSettings,
    roots: tuple[str, str],
    lease: LeaseRecord,
    resumed: RunRecord | None,
) -> RunHistory:
    """Records that a run starts or resumes, and returns its history.

    Args:
        store: an open store.
        spec: the pipeline.
        settings: the settings of the run.
        roots: directory or URL of the pipeline's artifacts, and the directory for staging if the
            former is a URL.
        lease: the run's lease.
        resumed: the run to resume; None for a new run.

    Raises:
        RequestError: the run to resume is complete.
        FencedError: another process has resumed the run.
        ClaimedError: another run has one of the claims.
    """
    root, scratch = roots
    runs = RunWriter(store)
    if resumed is None:
        parameters = json.dumps({p.name: p.value for p in spec.parameters}, sort_keys=True)
        runs.begin_run(
            spec.name,
            lease.run_id,
            parameters,
            lease.id,
            settings.pipeline_file,
            root,
            settings.use_cache,
            settings.claims,
        )
        return RunHistory()
    reader, writer = LineageReader(store), LineageWriter(store)
    # Read again under the lease: another process may have completed the run since.
    if reader.run(resumed.run_id).state is RunState.COMPLETE:
        raise RequestError(f"run {resumed.run_id} is complete, there is nothing to resume")
    executions = reader.executions_of_run(resumed.run_id)
    running = [e.id for e in executions if e.state is State.RUNNING]
    close_executions(reader, writer, running, State.FAILED)
    # Read again: another process may have recorded one as COMPLETE before it was closed here.
    executions = reader.executions_of_run(resumed.run_id)
    remove_unfinished(root, scratch, executions)
    runs.resume_run(resumed.run_id, lease.id)
    return run_history(reader, executions)
