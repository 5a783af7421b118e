"""Records runs: their start, resumption and end, each in one transaction."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_metadata import errors as mlmd_errors
from ml_metadata.proto import metadata_store_pb2 as mlmd

from prodml.artifacts import PropertyValue
from prodml.errors import FencedError
from prodml.metadata.fencing import RUN_CHANGE, change_run
from prodml.metadata.idempotent_writes import ensure_context
from prodml.metadata.messages import PIPELINE, PIPELINE_RUN, set_values
from prodml.metadata.records import RunRecord, RunState, TriggerClaim
from prodml.metadata.store import Store
from prodml.metadata.trigger_claims import TRIGGER_CLAIM, claim_contexts, put_run_with_claims


class RunWriter:
    """Records the states of runs.

    Args:
        store: an open store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin_run(
        self,
        pipeline: str,
        run_id: str,
        parameters: str,
        lease_id: int = 0,
        pipeline_file: str = "",
        pipeline_root: str = "",
        use_cache: bool = True,
        claims: Sequence[TriggerClaim] = (),
    ) -> None:
        """Records a run as RUNNING.

        Resuming the run needs `pipeline_file`, `pipeline_root` and `use_cache`.

        Args:
            pipeline: name of the pipeline.
            run_id: id of the run.
            parameters: the runtime parameters, as JSON.
            lease_id: id of the run's lease.
            pipeline_file: path of the Python file with the pipeline.
            pipeline_root: location where artifacts are published.
            use_cache: False if every node is run.
            claims: claims of triggers that are recorded in the same transaction.

        Raises:
            ClaimedError: another run has one of the claims; nothing is recorded.
        """
        context = self._context(PIPELINE_RUN, run_id)
        set_values(
            context.custom_properties,
            {
                "pipeline": pipeline,
                "state": RunState.RUNNING,
                "started": _now(),
                "parameters": parameters,
                "lease": lease_id,
                "pipeline_file": pipeline_file,
                "pipeline_root": pipeline_root,
                "use_cache": int(use_cache),
            },
        )
        parent = self._context(PIPELINE, pipeline)
        claim_type = self._store.context_type(TRIGGER_CLAIM) if claims else 0
        claimed = claim_contexts(claims, pipeline, run_id, claim_type)

        def change(store: Any) -> None:
            if claimed:
                put_run_with_claims(store, context, claimed)
            ids = [ensure_context(store, context, PIPELINE_RUN)]
            ids.append(ensure_context(store, parent, PIPELINE))
            with contextlib.suppress(mlmd_errors.AlreadyExistsError):
                store.put_parent_contexts([mlmd.ParentContext(child_id=ids[0], parent_id=ids[1])])

        self._store.write(f"cannot record run {run_id}", change)

    def resume_run(self, run_id: str, lease_id: int) -> None:
        """Records that a run is resumed under a newer lease.

        Raises:
            FencedError: another process has resumed the run under a lease that is newer still.
        """
        properties: dict[str, PropertyValue] = {
            "state": RunState.RUNNING,
            "lease": lease_id,
            "ended": 0,
            "message": "",
        }
        if not self._change_run(run_id, properties, lambda run: run.lease_id < lease_id):
            raise FencedError(f"another process resumed run {run_id}; see `prodml runs`")

    def end_run(
        self, run_id: str, state: RunState, message: str = "", lease_id: int | None = None
    ) -> bool:
        """Records the end of a run, if the run is RUNNING.

        Args:
            run_id: id of the run.
            state: final state of the run.
            message: the reason, if the run failed.
            lease_id: if set, the run is ended only if this is its current lease.

        Returns:
            False if the run has ended already, or has another lease.
        """
        return self._change_run(
            run_id,
            {"state": state, "ended": _now(), "message": message},
            lambda run: run.state is RunState.RUNNING and lease_id in (None, run.lease_id),
        )

    def _change_run(
        self,
        run_id: str,
        properties: Mapping[str, PropertyValue],
        may_change: Callable[[RunRecord], bool],
    ) -> bool:
        change_type = self._store.context_type(RUN_CHANGE)
        return self._store.write(
            f"cannot record the state of run {run_id}",
            lambda store: change_run(store, run_id, properties, may_change, change_type),
        )

    def _context(self, type_name: str, name: str) -> Any:
        return mlmd.Context(type_id=self._store.context_type(type_name), name=name)


def _now() -> int:
    return int(time.time() * 1000)
