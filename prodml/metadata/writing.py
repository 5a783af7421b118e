"""Writes of runs, executions, artifacts and events: one transaction a change of state."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd

from prodml.artifacts import Artifact, PropertyValue
from prodml.metadata.messages import (
    BASELINE,
    EXECUTION_CACHE,
    NODE,
    PIPELINE,
    PIPELINE_RUN,
    ROLLOUT,
    event,
    set_values,
)
from prodml.metadata.records import RunState, State
from prodml.metadata.store import Store


class LineageWriter:
    """Everything prodml tells ML Metadata.

    Args:
        store: an open store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin_run(self, pipeline: str, run_id: str, parameters: str) -> int:
        """Records a run as RUNNING and gives the id of its context."""
        context = self._context(PIPELINE_RUN, run_id)
        now = _now()
        set_values(
            context.custom_properties,
            {
                "pipeline": pipeline,
                "state": RunState.RUNNING,
                "started": now,
                "parameters": parameters,
            },
        )
        pipeline_context = self._context(PIPELINE, pipeline)

        def change(store: Any) -> int:
            (run_context,) = store.put_contexts([context])
            found = store.get_context_by_type_and_name(PIPELINE, pipeline)
            parent = found.id if found else store.put_contexts([pipeline_context])[0]
            store.put_parent_contexts([mlmd.ParentContext(child_id=run_context, parent_id=parent)])
            return int(run_context)

        return self._store.write(f"cannot record run {run_id}", change)

    def end_run(self, run_id: str, state: RunState, message: str = "") -> None:
        """Records how a run ended; `message` says why where it failed."""

        def change(store: Any) -> None:
            context = store.get_context_by_type_and_name(PIPELINE_RUN, run_id)
            set_values(
                context.custom_properties, {"state": state, "ended": _now(), "message": message}
            )
            store.put_contexts([context])

        self._store.write(f"cannot record the end of run {run_id}", change)

    def begin_execution(
        self,
        pipeline: str,
        run_id: str,
        node_id: str,
        type_name: str,
        properties: Mapping[str, PropertyValue],
        inputs: Mapping[str, Sequence[Artifact]],
    ) -> int:
        """Records that a node starts; its inputs are linked at once. Gives the execution's id."""
        execution = self._execution(pipeline, run_id, node_id, type_name, State.RUNNING, properties)
        pairs = self._input_pairs(inputs)
        contexts = self._contexts(pipeline, run_id, node_id)
        return self._put(f"cannot record the start of {node_id}", execution, pairs, contexts)

    def complete_execution(
        self,
        execution_id: int,
        properties: Mapping[str, PropertyValue],
        outputs: Mapping[str, Sequence[tuple[str, Artifact]]],
        fingerprints: Sequence[str] = (),
    ) -> dict[str, list[int]]:
        """Records, in one transaction, that an execution is COMPLETE and its outputs LIVE.

        Args:
            outputs: (name, artifact) by output key.
            fingerprints: under which the cache finds the execution again.

        Returns:
            Artifact ids by output key.
        """
        keys = [key for key, named in outputs.items() for _ in named]
        pairs = [
            (self._artifact(name, artifact), event(key, index, mlmd.Event.OUTPUT))
            for key, named in outputs.items()
            for index, (name, artifact) in enumerate(named)
        ]
        contexts = [self._context(EXECUTION_CACHE, key) for key in fingerprints]

        def change(store: Any) -> Any:
            (execution,) = store.get_executions_by_id([execution_id])
            execution.last_known_state = mlmd.Execution.COMPLETE
            set_values(execution.custom_properties, properties)
            known = store.get_contexts_by_execution(execution_id)
            _, artifact_ids, _ = store.put_execution(
                execution, pairs, [*known, *contexts], reuse_context_if_already_exist=True
            )
            return artifact_ids

        artifact_ids = self._store.write(f"cannot publish execution {execution_id}", change)
        ids: dict[str, list[int]] = {key: [] for key in outputs}
        for key, artifact_id in zip(keys, artifact_ids, strict=True):
            ids[key].append(int(artifact_id))
        return ids

    def end_execution(
        self, execution_id: int, state: State, properties: Mapping[str, PropertyValue]
    ) -> None:
        """Records that an execution ended without outputs: FAILED or CANCELED."""

        def change(store: Any) -> None:
            (execution,) = store.get_executions_by_id([execution_id])
            execution.last_known_state = mlmd.Execution.State.Value(state)
            set_values(execution.custom_properties, properties)
            store.put_executions([execution])

        self._store.write(f"cannot record the end of execution {execution_id}", change)

    def record_found(
        self,
        pipeline: str,
        run_id: str,
        node_id: str,
        type_name: str,
        state: State,
        properties: Mapping[str, PropertyValue],
        inputs: Mapping[str, Sequence[Artifact]],
        outputs: Mapping[str, Sequence[Artifact]],
    ) -> int:
        """Records, at once, an execution whose outputs existed before: CACHED, or a resolver's."""
        execution = self._execution(pipeline, run_id, node_id, type_name, state, properties)
        pairs = self._whole(_pairs(inputs, mlmd.Event.INPUT) + _pairs(outputs, mlmd.Event.OUTPUT))
        contexts = self._contexts(pipeline, run_id, node_id)
        return self._put(f"cannot record the result of {node_id}", execution, pairs, contexts)

    def record_baseline(
        self, pipeline: str, action: str, model_id: int, who: str, why: str
    ) -> None:
        """Records that somebody set or reset the baseline."""
        execution = mlmd.Execution(
            type_id=self._store.execution_type(BASELINE),
            last_known_state=mlmd.Execution.COMPLETE,
        )
        set_values(
            execution.custom_properties,
            {"action": action, "model_id": model_id, "who": who, "why": why},
        )
        pairs = self._whole(
            [(mlmd.Artifact(id=model_id), event("model", 0, mlmd.Event.INPUT))] if model_id else []
        )
        contexts = [self._context(PIPELINE, pipeline)]
        self._put("cannot record the baseline", execution, pairs, contexts)

    def record_rollout(
        self,
        name: str,
        properties: Mapping[str, PropertyValue],
        pushed_model: int | None,
        pipeline: str | None,
    ) -> None:
        """Records that a version was moved to, or from, a label; once a name.

        Args:
            name: tells the move from all others.
            properties: what was moved, by whom, when and why.
            pushed_model: id of the PushedModel artifact, where it is known.
            pipeline: that pushed it, where it is known.
        """
        execution = mlmd.Execution(
            type_id=self._store.execution_type(ROLLOUT),
            name=name,
            last_known_state=mlmd.Execution.COMPLETE,
        )
        set_values(execution.custom_properties, properties)
        pairs = self._whole(
            [(mlmd.Artifact(id=pushed_model), event("pushed_model", 0, mlmd.Event.INPUT))]
            if pushed_model
            else []
        )
        contexts = [self._context(PIPELINE, pipeline)] if pipeline else []
        self._put("cannot record the rollout", execution, pairs, contexts)

    def _context(self, type_name: str, name: str) -> Any:
        return mlmd.Context(type_id=self._store.context_type(type_name), name=name)

    def _contexts(self, pipeline: str, run_id: str, node_id: str) -> list[Any]:
        return [
            self._context(PIPELINE, pipeline),
            self._context(PIPELINE_RUN, run_id),
            self._context(NODE, f"{pipeline}.{node_id}"),
        ]

    def _execution(
        self,
        pipeline: str,
        run_id: str,
        node_id: str,
        type_name: str,
        state: State,
        properties: Mapping[str, PropertyValue],
    ) -> Any:
        execution = mlmd.Execution(
            type_id=self._store.execution_type(type_name),
            last_known_state=mlmd.Execution.State.Value(state),
        )
        set_values(
            execution.custom_properties,
            {"node_id": node_id, "run_id": run_id, "pipeline_name": pipeline, **properties},
        )
        return execution

    def _artifact(self, name: str, artifact: Artifact) -> Any:
        made = mlmd.Artifact(
            type_id=self._store.artifact_type(type(artifact)),
            name=name,
            uri=artifact.final_uri,
            state=mlmd.Artifact.LIVE,
        )
        set_values(made.properties, artifact.properties)
        set_values(made.custom_properties, {"name": name, **artifact.custom_properties})
        return made

    def _whole(self, pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """The pairs with artifacts as stored: putting a bare id would blank what is there."""
        if not pairs:
            return []
        found = self._store.read(
            "cannot read artifacts",
            lambda store: store.get_artifacts_by_id([a.id for a, _ in pairs]),
        )
        by_id = {artifact.id: artifact for artifact in found}
        return [(by_id[artifact.id], event) for artifact, event in pairs]

    def _put(self, what: str, execution: Any, pairs: list[Any], contexts: list[Any]) -> int:
        return self._store.write(
            what,
            lambda store: int(
                store.put_execution(
                    execution, pairs, contexts, reuse_context_if_already_exist=True
                )[0]
            ),
        )

    def _input_pairs(self, inputs: Mapping[str, Sequence[Artifact]]) -> list[tuple[Any, Any]]:
        return self._whole(_pairs(inputs, mlmd.Event.INPUT))


def _pairs(artifacts: Mapping[str, Sequence[Artifact]], kind: int) -> list[tuple[Any, Any]]:
    """An event an artifact. ML Metadata takes one of a kind, so where an execution uses an
    artifact twice (a model that is its own baseline), the second one is DECLARED_INPUT."""
    seen: dict[int, int] = {}
    pairs = []
    for key, found in artifacts.items():
        for index, artifact in enumerate(found):
            times = seen[artifact.id] = seen.get(artifact.id, 0) + 1
            if times == 1:
                pairs.append((mlmd.Artifact(id=artifact.id), event(key, index, kind)))
            elif times == 2 and kind == mlmd.Event.INPUT:
                repeated = event(key, index, mlmd.Event.DECLARED_INPUT)
                pairs.append((mlmd.Artifact(id=artifact.id), repeated))
    return pairs


def _now() -> int:
    return int(time.time() * 1000)
