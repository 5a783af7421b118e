"""Records executions, artifacts and events: one transaction per change of state."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd

from prodml.artifacts import Artifact, PropertyValue
from prodml.errors import FencedError
from prodml.metadata.fencing import (
    EXECUTION_END,
    NODE_COMPLETION,
    end_execution_once,
    require_newest,
)
from prodml.metadata.idempotent_writes import output_ids, put_execution_once
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
    State,
)
from prodml.metadata.store import Store


class LineageWriter:
    """Records the executions of a run, with their artifacts.

    Args:
        store: an open store.
        lease: the lease of the run. If set, no execution begins after another process has taken
            over the pipeline; FencedError is raised instead.
        session: the session of the writer in another process for which this one writes; None for
            a new session.
    """

    def __init__(
        self, store: Store, lease: LeaseRecord | None = None, session: str | None = None
    ) -> None:
        self._store = store
        self._lease = lease
        # If two processes continue the same run, the names of their executions differ.
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

    def begin_execution(
        self,
        attempt: Attempt,
        properties: Mapping[str, PropertyValue],
        inputs: Mapping[str, Sequence[Artifact]],
        fingerprints: Sequence[str] = (),
    ) -> int:
        """Records the start of a node with its inputs, and returns the execution's id.

        Args:
            attempt: the attempt to run a node.
            properties: properties of the execution.
            inputs: input artifacts by key.
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
            FencedError: another process has closed the run, or completed the same attempt.
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
        # A process that was suspended between its check of the lease and its write has begun an
        # attempt that its successor has begun, too.
        claims = [
            self._context(EXECUTION_END, str(execution_id)),
            self._context(NODE_COMPLETION, f"{attempt.run_id}:{attempt.node_id}#{attempt.number}"),
        ]

        def change(store: Any) -> list[int]:
            created = end_execution_once(store, execution, pairs, context_ids, claims)
            if created is not None:
                return created
            (found,) = store.get_executions_by_id([execution_id])
            if found.last_known_state == mlmd.Execution.RUNNING:
                raise FencedError(
                    f"another process completed attempt {attempt.number} of {attempt.node_id}, "
                    f"because this process seemed dead; the outputs are not published; see "
                    f"`prodml runs`"
                )
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
        claims = [self._context(EXECUTION_END, str(execution_id))]

        def change(store: Any) -> State:
            (execution,) = store.get_executions_by_id([execution_id])
            found = execution_record(execution).state
            if found is not State.RUNNING:
                return found
            ended = _ended(execution, state, properties)
            if end_execution_once(store, ended, [], [], claims) is not None:
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
            # Unique: a write that is retried after a lost response has no second effect.
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
