"""Leases in ML Metadata: contexts with unique names.

A pipeline's leases are numbered. The process that creates the context with the next number holds
the lease. Only one process can, because every database rejects a second context of the same type
and name.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from typing import Any

from ml_metadata import errors as mlmd_errors
from ml_metadata.proto import metadata_store_pb2 as mlmd

from prodml.metadata.fencing import LEASE, lease_name
from prodml.metadata.messages import get_values, set_values
from prodml.metadata.queries import newest_first
from prodml.metadata.records import LeaseRecord, ProcessRecord
from prodml.metadata.store import Store


class LeaseTable:
    """The leases of a store.

    Args:
        store: an open store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def newest(self, pipeline: str) -> LeaseRecord | None:
        """The current lease of a pipeline; None if the pipeline has never run."""
        self._store.context_type(LEASE)
        found = newest_first(
            lambda options: self._store.read(
                f"cannot read the lease of {pipeline}", lambda store: store.get_contexts(options)
            ),
            # By name, because a condition on a property searches all contexts that have it.
            f"type = '{LEASE}' AND name LIKE '{pipeline}#%'",
        )
        # In LIKE, the `_` of a name matches any character.
        return next((r for r in map(_record, found) if r.pipeline == pipeline), None)

    def by_id(self, ids: Iterable[int]) -> dict[int, LeaseRecord]:
        """Leases by id; unknown ids are omitted."""
        wanted = list(ids)
        if not wanted:
            return {}
        found = self._store.read(
            "cannot read leases", lambda store: store.get_contexts_by_id(wanted)
        )
        return {context.id: _record(context) for context in found}

    def is_newest(self, lease: LeaseRecord) -> bool:
        """Whether no process has acquired a later lease of the pipeline."""
        following = lease_name(lease.pipeline, lease.number + 1)
        found = self._store.read(
            f"cannot read the lease of {lease.pipeline}",
            lambda store: store.get_context_by_type_and_name(LEASE, following),
        )
        return found is None

    def acquire(
        self, pipeline: str, number: int, run_id: str, holder: ProcessRecord
    ) -> LeaseRecord | None:
        """Acquires the lease with a number; None if another process has acquired it."""
        wanted = LeaseRecord(0, pipeline, number, run_id, holder, _now(), 0)
        message = self._message(wanted)

        def change(store: Any) -> Any:
            # The context may exist already, perhaps from a call whose response was lost.
            with contextlib.suppress(mlmd_errors.AlreadyExistsError):
                store.put_contexts([message])
            return store.get_context_by_type_and_name(LEASE, message.name)

        found = _record(self._store.write(f"cannot acquire the lease of {pipeline}", change))
        return found if (found.run_id, found.holder) == (run_id, holder) else None

    def record_heartbeat(self, lease: LeaseRecord) -> None:
        """Records a heartbeat of the holder."""
        self._put(lease, heartbeat=_now())

    def release(self, lease: LeaseRecord) -> None:
        """Records that the holder has released the lease."""
        self._put(lease, heartbeat=_now(), ended=_now())

    def _put(self, lease: LeaseRecord, **changes: int) -> None:
        message = self._message(lease)
        message.id = lease.id
        set_values(message.custom_properties, changes)
        self._store.write(
            f"cannot write the lease of {lease.pipeline}",
            lambda store: store.put_contexts([message]),
        )

    def _message(self, lease: LeaseRecord) -> Any:
        message = mlmd.Context(
            type_id=self._store.context_type(LEASE), name=lease_name(lease.pipeline, lease.number)
        )
        set_values(
            message.custom_properties,
            {
                "pipeline": lease.pipeline,
                "number": lease.number,
                "run_id": lease.run_id,
                "host": lease.holder.host,
                "machine": lease.holder.machine,
                "pid": lease.holder.pid,
                "token": lease.holder.token,
                "heartbeat": lease.heartbeat,
                "ended": lease.ended,
            },
        )
        return message


def _record(context: Any) -> LeaseRecord:
    values: dict[str, Any] = get_values(context.custom_properties)
    return LeaseRecord(
        id=context.id,
        pipeline=values["pipeline"],
        number=int(values["number"]),
        run_id=values["run_id"],
        holder=ProcessRecord(
            values["host"], values["machine"], int(values["pid"]), values["token"]
        ),
        heartbeat=int(values["heartbeat"]),
        ended=int(values["ended"]),
    )


def _now() -> int:
    return int(time.time() * 1000)
