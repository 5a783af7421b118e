"""What is left of runs whose process died: they are recorded as failed, and cleaned up."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable

from prodml.metadata.leases import LeaseTable
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import ExecutionRecord, RunRecord, RunState, State
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter
from prodml.orchestration import publication
from prodml.orchestration.liveness import is_held, this_process
from prodml.storage import objects
from prodml.storage.locations import is_url, join


def settle_dead_runs(store: Store) -> list[RunRecord]:
    """Records every run that is shown as running, but whose process is gone, as FAILED.

    Returns:
        The runs that were found dead.
    """
    reader = LineageReader(store)
    running = reader.runs_in_state(RunState.RUNNING)
    leases = LeaseTable(store).by_id({run.lease_id for run in running} - {0})
    dead = [
        run for run in running if run.lease_id not in leases or not is_held(leases[run.lease_id])
    ]
    writer = LineageWriter(store)
    message = "its process died; to go on: prodml run --resume {}"
    return [
        run
        for run in dead
        if _settle(reader, writer, run, RunState.FAILED, message.format(run.run_id))
    ]


def cancel_run_of_this_process(store: Store) -> None:
    """Records the run that goes on in this process, which is about to be ended, as CANCELED."""
    reader, writer = LineageReader(store), LineageWriter(store)
    running = reader.runs_in_state(RunState.RUNNING)
    leases = LeaseTable(store).by_id({run.lease_id for run in running} - {0})
    for run in running:
        if run.lease_id in leases and leases[run.lease_id].holder == this_process():
            _settle(reader, writer, run, RunState.CANCELED, "stopped by the user or the system")


def end_executions(
    writer: LineageWriter, executions: Iterable[ExecutionRecord], state: State
) -> None:
    """Records those of a run's executions that nothing runs any more as ended."""
    for execution in executions:
        if execution.state is State.RUNNING:
            writer.end_execution(execution.id, state, {"message": "its run was ended"})


def remove_staging(pipeline_root: str) -> None:
    """Removes all staging directories of a pipeline, whose lease must be held."""
    for node in _folders(pipeline_root):
        for name in _folders(node):
            if os.path.basename(name).startswith(".staging-"):
                shutil.rmtree(name, ignore_errors=True)


def remove_unrecorded(pipeline_root: str, executions: Iterable[ExecutionRecord]) -> None:
    """Removes outputs that unfinished executions put into place, but could not record."""
    for execution in executions:
        if execution.state in (State.COMPLETE, State.CACHED):
            continue
        if is_url(pipeline_root):
            _remove_objects(join(pipeline_root, execution.node_id), execution.id)
        else:
            for output in _folders(os.path.join(pipeline_root, execution.node_id)):
                shutil.rmtree(os.path.join(output, str(execution.id)), ignore_errors=True)


def _remove_objects(node: str, execution_id: int) -> None:
    for place in {path.split("/")[0] for path in objects.listing(node)}:
        publication.remove(join(node, place, str(execution_id)))


def _folders(directory: str) -> list[str]:
    try:
        return [
            entry.path for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)
        ]
    except OSError:
        return []


def _settle(
    reader: LineageReader, writer: LineageWriter, run: RunRecord, state: RunState, message: str
) -> bool:
    executions = reader.executions_of_run(run.run_id)
    now = reader.run(run.run_id)
    if (now.state, now.lease_id) != (RunState.RUNNING, run.lease_id):
        # It was resumed meanwhile, and what runs in it is alive.
        return False
    end_executions(writer, executions, State(state))
    return writer.end_run(run.run_id, state, message, run.lease_id)
