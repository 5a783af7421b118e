"""Records runs whose process died as failed, and removes their unfinished files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable

from prodml.metadata.leases import LeaseTable
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import ExecutionRecord, RunRecord, RunState, State
from prodml.metadata.run_writing import RunWriter
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.ownership.liveness import is_held, is_own
from prodml.orchestration.publish.publication import STAGING, remove_unrecorded
from prodml.storage import objects
from prodml.storage.locations import is_url, join


def fail_dead_runs(store: Store) -> list[RunRecord]:
    """Records every run as FAILED that is recorded as running, but whose process is dead.

    Returns:
        The runs that this call recorded as FAILED.
    """
    running = LineageReader(store).runs_in_state(RunState.RUNNING)
    leases = LeaseTable(store).by_id({run.lease_id for run in running} - {0})
    dead = [
        run for run in running if run.lease_id not in leases or not is_held(leases[run.lease_id])
    ]
    message = "its process died; to resume it: prodml run --resume {}"
    return [run for run in dead if _end(store, run, RunState.FAILED, message.format(run.run_id))]


def cancel_run_of_this_process(store: Store) -> None:
    """Records the active run of this process, which is about to exit, as CANCELED."""
    running = LineageReader(store).runs_in_state(RunState.RUNNING)
    leases = LeaseTable(store).by_id({run.lease_id for run in running} - {0})
    for run in running:
        if run.lease_id in leases and is_own(leases[run.lease_id].holder):
            _end(store, run, RunState.CANCELED, "stopped by the user or the system")


def close_executions(
    reader: LineageReader, writer: LineageWriter, ids: Iterable[int], state: State
) -> list[ExecutionRecord]:
    """Ends executions that no live process runs, and returns their final records.

    An execution that another process recorded as COMPLETE in the meantime stays COMPLETE.
    """
    closed = list(ids)
    for id in closed:
        writer.end_execution(id, state, {"message": "its run was ended"})
    return reader.executions(closed) if closed else []


def remove_unfinished(
    pipeline_root: str, scratch_root: str, executions: Iterable[ExecutionRecord]
) -> None:
    """Removes the staging directories of ended executions, and outputs that are not recorded.

    Args:
        pipeline_root: directory or URL of the pipeline's artifacts.
        scratch_root: directory for staging if `pipeline_root` is a URL.
    """
    staging_root = scratch_root if is_url(pipeline_root) else pipeline_root
    for execution in executions:
        if execution.state is State.RUNNING:
            continue
        staging = os.path.join(staging_root, execution.node_id, f"{STAGING}{execution.id}")
        shutil.rmtree(staging, ignore_errors=True)
        if execution.state in (State.COMPLETE, State.CACHED):
            continue
        for output in _outputs(join(pipeline_root, execution.node_id)):
            remove_unrecorded(join(output, str(execution.id)), execution.name)


def remove_staging(reader: LineageReader, pipeline_root: str) -> None:
    """Removes the staging directories of all ended executions of a pipeline.

    Staging directories of executions that the store does not know, or of other nodes, stay.

    Args:
        pipeline_root: a directory; the pipeline's lease is held.
    """
    staged = {
        int(number): (node, path)
        for node in _folders(pipeline_root)
        for path in _folders(node)
        if (number := os.path.basename(path).removeprefix(STAGING)).isdecimal()
        and os.path.basename(path).startswith(STAGING)
    }
    for execution in reader.executions(staged) if staged else []:
        node, path = staged[execution.id]
        if execution.state is not State.RUNNING and execution.node_id == os.path.basename(node):
            shutil.rmtree(path, ignore_errors=True)


def _outputs(node: str) -> list[str]:
    """Directories or URLs of a node's outputs."""
    if is_url(node):
        return [join(node, name) for name in {p.split("/")[0] for p in objects.listing(node)}]
    return _folders(node)


def _folders(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _end(store: Store, run: RunRecord, state: RunState, message: str) -> bool:
    reader = LineageReader(store)
    executions = reader.executions_of_run(run.run_id)
    now = reader.run(run.run_id)
    if (now.state, now.lease_id) != (RunState.RUNNING, run.lease_id):
        # Another process resumed the run. The executions above are from before the resume.
        return False
    running = [e.id for e in executions if e.state is State.RUNNING]
    close_executions(reader, LineageWriter(store), running, State(state))
    return RunWriter(store).end_run(run.run_id, state, message, run.lease_id)
