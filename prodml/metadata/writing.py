"""Records runs, executions, artifacts and events: one transaction per change of state."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ml_metadata import errors as mlmd_errors
from ml_metadata.proto import metadata_store_pb2 as mlmd

from prodml.artifacts import Artifact, PropertyValue
from prodml.errors import FencedError
from prodml.metadata.fencing import (
    EXECUTION_END,
    RUN_CHANGE,
    change_run,
    end_execution_once,
    require_newest,
)
from prodml.metadata.idempotent_writes import ensure_context, output_ids, put_execution_once
from prodml.metadata.messages import (
    EXECUTION_CACHE,
    NODE,
    PIPELINE,
    PIPELINE_RUN,
    event,
    execution_record,
    pairs_of,
    set_values,
)
from prodml.metadata.records import (
    Attempt,
    ExecutionRecord,
    LeaseRecord,
    RunRecord,
    RunState,
    State,
)
from prodml.metadata.store import Store


class LineageWriter:
    """All writes of a run to ML Metadata.

    Args:
        store: an open store.
        lease: under which a run goes on. With it, nothing begins and no run is changed after
            another process has taken the pipeline over; both raise FencedError then.
        session: that of the writer on whose behalf this one writes, in another process; None for
            a session of its own.
    """

    def __init__(
        self, store: Store, lease: LeaseRecord | None = None, session: str | None = None
    ) -> None:
        self._store = store
        self._lease = lease
        # Two processes that both believe to go on with a run never mean the same execution.
        token = secrets.token_hex(4)
        self.session = session or token
        self._suffix = f"{session}.{token}" if session else token
        self._begun: dict[int, tuple[Attempt, Any, list[int]]] = {}
        """Executions that have begun, with their contexts: a round trip less when they end."""

    def execution_name(self, attempt: Attempt) -> str:
        """The name of an execution of this writer; no other process uses it."""
        return f"{attempt.run_id}:{attempt.node_id}:{attempt.number}:{self._suffix}"

    def is_own(self, execution: ExecutionRecord) -> bool:
        """Whether this writer's session began an execution, also if an interrupt hid the answer."""
        return execution.name.rpartition(":")[2].partition(".")[0] == self.session

    def begin_run(
        self,
        pipeline: str,
        run_id: str,
        parameters: str,
        lease_id: int = 0,
        pipeline_file: str = "",
        pipeline_root: str = "",
        use_cache: bool = True,
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

        def change(store: Any) -> None:
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

    def begin_execution(
        self,
        attempt: Attempt,
        properties: Mapping[str, PropertyValue],
        inputs: Mapping[str, Sequence[Artifact]],
        fingerprints: Sequence[str] = (),
    ) -> int:
        """Records the start of a node with its inputs, and returns the execution's id.

        Args:
            pipeline: name of the pipeline.
            run_id: id of the run.
            node_id: id of the node.
            type_name: name of the execution type.
            properties: properties of the execution.
            inputs: input artifacts by key.
            attempt: number of the attempt, from 1.
            fingerprints: fingerprints by which the cache finds the execution when it is COMPLETE.

        Raises:
            FencedError: another process has taken over the pipeline.
        """
        execution = self._execution(attempt, State.RUNNING, properties)
        pairs = self._input_pairs(inputs)
        contexts = self._contexts(attempt)
        contexts += [self._context(EXECUTION_CACHE, key) for key in fingerprints]
        id, context_ids = self._put(
            f"cannot record the start of {attempt.node_id}", execution, pairs, contexts
        )
        execution.id = id
        self._begun[id] = attempt, execution, context_ids
        return id

    def complete_execution(
        self,
        execution_id: int,
        properties: Mapping[str, PropertyValue],
        outputs: Mapping[str, Sequence[Artifact]],
    ) -> dict[str, list[int]]:
        """Records, in one transaction, that an execution is COMPLETE and its outputs LIVE.

        Args:
            execution_id: one that this writer began.
            outputs: new artifacts by output key.

        Returns:
            Artifact ids by output key.

        Raises:
            FencedError: the end of the execution is recorded already, because another process
                closed the run.
        """
        attempt, begun, context_ids = self._begun[execution_id]
        keys = [key for key, artifacts in outputs.items() for _ in artifacts]
        pairs = [
            (
                self._artifact(attempt.artifact_name(execution_id, key, index), artifact),
                event(key, index, mlmd.Event.OUTPUT),
            )
            for key, artifacts in outputs.items()
            for index, artifact in enumerate(artifacts)
        ]
        execution = _ended(begun, State.COMPLETE, properties)
        end_type = self._store.context_type(EXECUTION_END)

        def change(store: Any) -> list[int]:
            created = end_execution_once(store, execution, pairs, context_ids, end_type)
            if created is not None:
                return created
            (found,) = store.get_executions_by_id([execution_id])
            if found.last_known_state != mlmd.Execution.COMPLETE:
                raise FencedError(
                    f"another process closed the run of execution {execution_id}, because this "
                    f"process seemed dead; the outputs are not published; see `prodml runs`"
                )
            # An earlier call of this process, whose response was lost, ended the execution.
            return output_ids(store, execution_id, [event for _, event in pairs])

        artifact_ids = self._store.write(f"cannot publish execution {execution_id}", change)
        ids: dict[str, list[int]] = {key: [] for key in outputs}
        for key, artifact_id in zip(keys, artifact_ids, strict=True):
            ids[key].append(int(artifact_id))
        return ids

    def end_execution(
        self, execution_id: int, state: State, properties: Mapping[str, PropertyValue]
    ) -> State:
        """Records that an execution ended without outputs, unless its end is recorded already.

        Args:
            execution_id: id of the execution.
            state: FAILED or CANCELED.
            properties: properties to add to the execution.

        Returns:
            The recorded state: `state`, or the state that another process recorded first.
        """
        end_type = self._store.context_type(EXECUTION_END)

        def change(store: Any) -> State:
            (execution,) = store.get_executions_by_id([execution_id])
            found = execution_record(execution).state
            if found is not State.RUNNING:
                return found
            ended = _ended(execution, state, properties)
            if end_execution_once(store, ended, [], [], end_type) is not None:
                return state
            # Another process ended the execution between the two calls.
            (execution,) = store.get_executions_by_id([execution_id])
            return execution_record(execution).state

        return self._store.write(f"cannot record the end of execution {execution_id}", change)

    def record_existing(
        self,
        attempt: Attempt,
        state: State,
        properties: Mapping[str, PropertyValue],
        inputs: Mapping[str, Sequence[Artifact]],
        outputs: Mapping[str, Sequence[Artifact]],
    ) -> int:
        """Records, at once, an execution whose outputs existed before: CACHED, or a resolver's."""
        execution = self._execution(attempt, state, properties)
        pairs = stored_pairs(
            self._store, pairs_of(inputs, mlmd.Event.INPUT) + pairs_of(outputs, mlmd.Event.OUTPUT)
        )
        contexts = self._contexts(attempt)
        what = f"cannot record the result of {attempt.node_id}"
        id, _ = self._put(what, execution, pairs, contexts)
        return id

    def mark_deleted(self, ids: Collection[int], why: str) -> None:
        """Records artifacts as DELETED, so that no resolver or cache look-up returns them."""
        if not ids:
            return

        def change(store: Any) -> None:
            artifacts = store.get_artifacts_by_id(ids)
            for artifact in artifacts:
                artifact.state = mlmd.Artifact.DELETED
                set_values(artifact.custom_properties, {"deleted": _now(), "deleted_because": why})
            store.put_artifacts(artifacts)

        self._store.write("cannot record the deleted artifacts", change)

    def _context(self, type_name: str, name: str) -> Any:
        return mlmd.Context(type_id=self._store.context_type(type_name), name=name)

    def _contexts(self, attempt: Attempt) -> list[Any]:
        return [
            self._context(PIPELINE, attempt.pipeline),
            self._context(PIPELINE_RUN, attempt.run_id),
            self._context(NODE, f"{attempt.pipeline}.{attempt.node_id}"),
        ]

    def _execution(
        self, attempt: Attempt, state: State, properties: Mapping[str, PropertyValue]
    ) -> Any:
        execution = mlmd.Execution(
            type_id=self._store.execution_type(attempt.execution_type),
            # Can be taken once: what is written again after a lost answer is written once.
            name=self.execution_name(attempt),
            last_known_state=mlmd.Execution.State.Value(state),
        )
        set_values(
            execution.custom_properties,
            {
                "node_id": attempt.node_id,
                "run_id": attempt.run_id,
                "pipeline_name": attempt.pipeline,
                "attempt": attempt.number,
                **properties,
            },
        )
        return execution

    def _artifact(self, name: str, artifact: Artifact) -> Any:
        created = mlmd.Artifact(
            type_id=self._store.artifact_type(type(artifact)),
            name=name,
            uri=artifact.final_uri,
            state=mlmd.Artifact.LIVE,
        )
        set_values(created.properties, artifact.properties)
        set_values(created.custom_properties, {"name": name, **artifact.custom_properties})
        return created

    def _put(
        self, what: str, execution: Any, pairs: list[Any], contexts: list[Any]
    ) -> tuple[int, list[int]]:
        def change(store: Any) -> tuple[int, list[int]]:
            if self._lease is not None:
                require_newest(store, self._lease)
            return put_execution_once(store, execution, pairs, contexts)

        return self._store.write(what, change)

    def _input_pairs(self, inputs: Mapping[str, Sequence[Artifact]]) -> list[tuple[Any, Any]]:
        return stored_pairs(self._store, pairs_of(inputs, mlmd.Event.INPUT))


def stored_pairs(store: Store, pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Replaces the artifacts in pairs of artifact and event with the stored ones.

    Writing an artifact with only its id would clear its other fields.
    """
    if not pairs:
        return []
    found = store.read(
        "cannot read artifacts",
        lambda raw: raw.get_artifacts_by_id([artifact.id for artifact, _ in pairs]),
    )
    by_id = {artifact.id: artifact for artifact in found}
    return [(by_id[artifact.id], event) for artifact, event in pairs]


def _ended(execution: Any, state: State, properties: Mapping[str, PropertyValue]) -> mlmd.Execution:
    ended = mlmd.Execution()
    ended.CopyFrom(execution)
    ended.last_known_state = mlmd.Execution.State.Value(state)
    set_values(ended.custom_properties, properties)
    return ended


def _now() -> int:
    return int(time.time() * 1000)
