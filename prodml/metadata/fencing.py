"""Changes of state as compare-and-set, on databases whose interface has no conditional write.

ML Metadata writes what it is given, whatever became of a record since it was read. But it refuses a
second context of one type and name, on every database, and undoes the whole transaction with it.
So each change of state creates, in its own transaction, a context that only one change can create:

    prodml.ExecutionEnd    named by the execution's id: an execution ends once
    prodml.RunChange       named `run#revision`: a run's record is changed by whoever read it last

A process that was taken for dead, as after a long stop, finds the name taken, and changes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_metadata import errors as mlmd_errors
from ml_metadata.proto import metadata_store_pb2 as mlmd

from prodml.artifacts import PropertyValue
from prodml.errors import FencedError
from prodml.metadata.idempotent_writes import retry_lost_create_race
from prodml.metadata.messages import PIPELINE_RUN, get_values, run_record, set_values
from prodml.metadata.records import LeaseRecord, RunRecord

EXECUTION_END = "prodml.ExecutionEnd"
RUN_CHANGE = "prodml.RunChange"
LEASE = "prodml.Lease"
"""Context type; named `pipeline#number`."""

_REVISION = "revision"


def end_execution_once(
    store: Any, execution: Any, pairs: Sequence[Any], context_ids: Sequence[int], end_type: int
) -> list[int] | None:
    """Writes the end of an execution, with its outputs, unless an end is recorded already.

    Args:
        store: ML Metadata's own store.
        execution: in its last state.
        pairs: its output artifacts, with events.
        context_ids: contexts of the artifacts.
        end_type: id of the context type EXECUTION_END.

    Returns:
        Ids of the artifacts; None if an end is recorded, by this or another process.
    """
    contexts = [mlmd.Context(id=id) for id in context_ids]
    contexts.append(mlmd.Context(type_id=end_type, name=str(execution.id)))
    with contextlib.suppress(mlmd_errors.AlreadyExistsError):
        _, artifact_ids, _ = store.put_execution(
            execution, pairs, contexts, force_reuse_context=True
        )
        return [int(id) for id in artifact_ids]
    return None


def change_run(
    store: Any,
    run_id: str,
    properties: Mapping[str, PropertyValue],
    may_change: Callable[[RunRecord], bool],
    change_type: int,
) -> bool:
    """Sets properties of a run, if its record still is what was read.

    Args:
        store: ML Metadata's own store.
        properties: unlike those of any other change, by a time or a lease.
        may_change: decides by the record as it is.
        change_type: id of the context type RUN_CHANGE.

    Returns:
        False if the record may not be changed.
    """
    context = store.get_context_by_type_and_name(PIPELINE_RUN, run_id)
    values = get_values(context.custom_properties)
    if all(values.get(key) == value for key, value in properties.items()):
        # Written by an earlier call of ours whose answer was lost.
        return True
    if not may_change(run_record(context)):
        return False
    revision = int(values.get(_REVISION, 0)) + 1
    set_values(context.custom_properties, {**properties, _REVISION: revision})
    change = mlmd.Context(type_id=change_type, name=f"{run_id}#{revision}")
    with retry_lost_create_race():
        store.put_contexts([context, change])
    return True


def lease_name(pipeline: str, number: int) -> str:
    """Name of a pipeline's lease."""
    return f"{pipeline}#{number}"


def require_newest(store: Any, lease: LeaseRecord) -> None:
    """Returns if nobody has taken a later lease of the pipeline.

    Raises:
        FencedError: another process has: it took this one for dead.
    """
    following = lease_name(lease.pipeline, lease.number + 1)
    if store.get_context_by_type_and_name(LEASE, following) is not None:
        raise FencedError(
            f"run {lease.run_id} was taken over: this process was silent for so long, as after a "
            f"sleep, that another process holds pipeline {lease.pipeline} now; see `prodml runs`"
        )
