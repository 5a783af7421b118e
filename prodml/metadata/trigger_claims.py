"""Claims of retraining triggers in ML Metadata, so that a trigger starts a run only once.

A claim is a context of type `prodml.TriggerClaim`, named `pipeline:key#number`. The transaction
that records the start of a run creates it. Every database rejects a second context of the same type
and name, and rolls back the transaction, so of two processes that claim a key at the same time, one
starts a run and the other one records nothing. The number counts the runs that the key has started.

A claim never ends. It names its run, and the run's state says what the claim is worth.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from ml_metadata import errors as mlmd_errors
from ml_metadata.proto import metadata_store_pb2 as mlmd

from prodml.errors import ClaimedError
from prodml.metadata.messages import PIPELINE_RUN, get_values, set_values
from prodml.metadata.records import TriggerClaim
from prodml.metadata.store import Store

TRIGGER_CLAIM = "prodml.TriggerClaim"
TRIGGER_CHECK = "prodml.TriggerCheck"
"""Context type, named by the pipeline; its property `checked` is the time of the last check."""


class TriggerTable:
    """The claims of triggers, and the times of checks, of a store.

    Args:
        store: an open store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def run_ids(self, pipeline: str, key: str) -> list[str]:
        """The ids of the runs that a key has started, oldest first."""
        self._store.context_type(TRIGGER_CLAIM)
        found: list[str] = []
        while True:
            name = claim_name(pipeline, TriggerClaim(key, len(found) + 1))
            context = self._context(TRIGGER_CLAIM, name)
            if context is None:
                return found
            found.append(str(get_values(context.custom_properties)["run_id"]))

    def last_check(self, pipeline: str) -> int | None:
        """When the triggers of a pipeline were last checked, in Unix ms; None if never."""
        self._store.context_type(TRIGGER_CHECK)
        context = self._context(TRIGGER_CHECK, pipeline)
        return int(get_values(context.custom_properties)["checked"]) if context else None

    def record_check(self, pipeline: str, checked: int) -> None:
        """Records when the triggers of a pipeline were checked; the last call counts."""
        message = mlmd.Context(type_id=self._store.context_type(TRIGGER_CHECK), name=pipeline)
        set_values(message.custom_properties, {"checked": checked})

        def change(store: Any) -> None:
            found = store.get_context_by_type_and_name(TRIGGER_CHECK, pipeline)
            if found is None:
                # Another process may create the context first; its time is as good.
                with contextlib.suppress(mlmd_errors.AlreadyExistsError):
                    store.put_contexts([message])
            else:
                message.id = found.id
                store.put_contexts([message])

        self._store.write(f"cannot record the check of {pipeline}", change)

    def _context(self, type_name: str, name: str) -> Any:
        return self._store.read(
            "cannot read the claims of triggers",
            lambda store: store.get_context_by_type_and_name(type_name, name),
        )


def claim_name(pipeline: str, claim: TriggerClaim) -> str:
    """The name of the context of a claim."""
    return f"{pipeline}:{claim.key}#{claim.number}"


def claim_contexts(
    claims: Sequence[TriggerClaim], pipeline: str, run_id: str, claim_type: int
) -> list[Any]:
    """The contexts of the claims that a run makes when it starts."""
    contexts = []
    for claim in claims:
        context = mlmd.Context(type_id=claim_type, name=claim_name(pipeline, claim))
        set_values(
            context.custom_properties,
            {"pipeline": pipeline, "run_id": run_id, "claimed": int(time.time() * 1000)},
        )
        contexts.append(context)
    return contexts


def put_run_with_claims(store: Any, run: Any, claims: Sequence[Any]) -> int:
    """Records a run together with its claims in one transaction; returns the id of the run.

    Args:
        store: ML Metadata's store.
        run: the context of the run.
        claims: the contexts of its claims.

    Raises:
        ClaimedError: another run has one of the claims; nothing is recorded.
    """
    try:
        return int(store.put_contexts([run, *claims])[0])
    except mlmd_errors.AlreadyExistsError:
        found = store.get_context_by_type_and_name(PIPELINE_RUN, run.name)
        if found is not None:
            # An earlier call of this process, whose response was lost, recorded all of them.
            return int(found.id)
        raise ClaimedError(
            f"run {run.name} does not start: another process has just started a run for the same "
            f"trigger; see `prodml runs`"
        ) from None
