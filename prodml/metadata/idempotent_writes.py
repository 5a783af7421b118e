"""Writes that can be retried safely after a lost response.

The argument `store` is ML Metadata's store, as passed to the callback of `Store.write`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from ml_metadata import errors as mlmd_errors

from prodml.metadata.messages import link


def put_execution_once(
    store: Any, execution: Any, pairs: Sequence[Any], contexts: Sequence[Any]
) -> tuple[int, list[int]]:
    """Records an execution, and returns its id and the ids of its contexts.

    If an earlier call recorded the execution but its response was lost, returns the same ids.
    """
    try:
        id, _, context_ids = store.put_execution(
            execution, pairs, contexts, reuse_context_if_already_exist=True
        )
    except mlmd_errors.AlreadyExistsError as error:
        found = _execution_with_name(store, execution) if execution.name else None
        if found is None:
            # The conflict is about a context that another process created concurrently.
            raise mlmd_errors.AbortedError(str(error)) from error
        if found.last_known_state != execution.last_known_state:
            raise
        return int(found.id), [int(c.id) for c in store.get_contexts_by_execution(found.id)]
    return int(id), [int(each) for each in context_ids]


def _execution_with_name(store: Any, execution: Any) -> Any:
    (type_,) = store.get_execution_types_by_id([execution.type_id])
    return store.get_execution_by_type_and_name(type_.name, execution.name)


def ensure_context(store: Any, context: Any, type_name: str) -> int:
    """The id of a context, which is created if it does not exist."""
    with retry_lost_create_race():
        found = store.get_context_by_type_and_name(type_name, context.name)
        return int(found.id if found else store.put_contexts([context])[0])


@contextlib.contextmanager
def retry_lost_create_race() -> Iterator[None]:
    """Turns a lost create race into AbortedError, so that `Store.write` retries."""
    try:
        yield
    except mlmd_errors.AlreadyExistsError as error:
        raise mlmd_errors.AbortedError(str(error)) from error


def output_ids(store: Any, execution_id: int, events: Sequence[Any]) -> list[int]:
    """The ids of an execution's output artifacts, in the order of the events."""
    recorded = store.get_events_by_execution_ids([execution_id])
    ids = {(link(e).key, link(e).index): e.artifact_id for e in recorded if link(e).is_output}
    return [ids[link(e).key, link(e).index] for e in events]
