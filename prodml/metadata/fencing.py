"""Compare-and-set for changes of state, because ML Metadata has no conditional write.

ML Metadata overwrites a record even if the record has changed since it was read. But on every
database, it rejects a second context with the same type and name, and rolls back the transaction.
So each change of state creates, in its transaction, a context that only one change can create:

    prodml.ExecutionEnd    named by the execution's id: an execution ends only once
    prodml.NodeCompletion  named `run:node#attempt`: an attempt of a node completes only once, even
                           if two processes have begun it
    prodml.RunChange       named `run#revision`: each revision of a run's record is written once

If a run was taken over because its process seemed dead, for example after a long suspension, that
process finds that the context exists, and changes nothing.
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
NODE_COMPLETION = "prodml.NodeCompletion"
RUN_CHANGE = "prodml.RunChange"
LEASE = "prodml.Lease"
"""Context type; named `pipeline#number`."""

_REVISION = "revision"


def end_execution_once(
    store: Any,
    execution: Any,
    pairs: Sequence[Any],
    context_ids: Sequence[int],
    claims: Sequence[Any],
) -> list[int] | None:
    """Records the end of an execution, with its outputs, unless another change has a claim of it.

    Args:
        store: ML Metadata's store.
        execution: the execution in its final state.
        pairs: the output artifacts, with events.
        context_ids: ids of the contexts of the artifacts.
        claims: contexts that only one change can create.

    Returns:
        Ids of the artifacts; None if a claim exists already, of this or another process.
    """
    contexts = [*(mlmd.Context(id=id) for id in context_ids), *claims]
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
    """Sets properties of a run, if its record has not changed since it was read.

    Args:
        store: ML Metadata's store.
        run_id: id of the run.
        properties: properties to set; a time or a lease among them makes the change unique.
        may_change: decides from the current record whether it may be changed.
        change_type: id of the context type RUN_CHANGE.

    Returns:
        False if the record may not be changed.
    """
    context = store.get_context_by_type_and_name(PIPELINE_RUN, run_id)
    values = get_values(context.custom_properties)
    if all(values.get(key) == value for key, value in properties.items()):
        # An earlier call of this process, whose response was lost, wrote them.
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
    """The name of a pipeline's lease."""
    return f"{pipeline}#{number}"


def require_newest(store: Any, lease: LeaseRecord) -> None:
    """Checks that no process has acquired a later lease of the pipeline.

    Raises:
        FencedError: another process has taken over the run, because this process seemed dead.
    """
    following = lease_name(lease.pipeline, lease.number + 1)
    if store.get_context_by_type_and_name(LEASE, following) is not None:
        raise lost_lease(lease.pipeline, lease.run_id)


def lost_lease(pipeline: str, run_id: str) -> FencedError:
    """The error of a run whose pipeline another process has locked."""
    return FencedError(
        f"run {run_id} was taken over: this process sent no heartbeat for too long (for example, "
        f"because the machine was asleep), and another process now has the lease of pipeline "
        f"{pipeline}; see `prodml runs`"
    )
