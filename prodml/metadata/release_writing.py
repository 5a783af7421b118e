"""Records people's decisions about models: the baseline, and the moves of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd

from prodml.artifacts import PropertyValue
from prodml.metadata.idempotent_writes import put_execution_once
from prodml.metadata.messages import BASELINE, PIPELINE, ROLLOUT, event, set_values
from prodml.metadata.store import Store
from prodml.metadata.writing import stored_pairs


class ReleaseWriter:
    """Records decisions about models, each as an execution of its own type.

    Args:
        store: an open store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def record_baseline(
        self, pipeline: str, action: str, model_id: int, who: str, why: str
    ) -> None:
        """Records that the baseline was set or reset.

        Args:
            pipeline: name of the pipeline.
            action: "set" or "reset".
            model_id: id of the model; 0 for a reset.
            who: the person who decided.
            why: the reason for the decision.
        """
        values: dict[str, PropertyValue] = {
            "pipeline": pipeline,
            "action": action,
            "model_id": model_id,
            "who": who,
            "why": why,
        }
        execution = self._execution(BASELINE, "", values)
        self._put("cannot record the baseline", execution, "model", model_id, pipeline)

    def record_rollout(
        self,
        name: str,
        properties: Mapping[str, PropertyValue],
        pushed_model: int | None,
        pipeline: str | None,
    ) -> None:
        """Records that a version was moved to, or from, a label; only once per name.

        Args:
            name: unique name of the move.
            properties: the moved version, the person, the time and the reason.
            pushed_model: id of the PushedModel artifact, or None if unknown.
            pipeline: name of the pipeline that pushed the model, or None if unknown.
        """
        execution = self._execution(ROLLOUT, name, properties)
        self._put(
            "cannot record the rollout", execution, "pushed_model", pushed_model or 0, pipeline
        )

    def _execution(
        self, type_name: str, name: str, properties: Mapping[str, PropertyValue]
    ) -> mlmd.Execution:
        execution = mlmd.Execution(
            type_id=self._store.execution_type(type_name),
            last_known_state=mlmd.Execution.COMPLETE,
        )
        if name:
            execution.name = name
        set_values(execution.custom_properties, properties)
        return execution

    def _put(
        self, what: str, execution: Any, key: str, artifact_id: int, pipeline: str | None
    ) -> None:
        pairs, contexts = [], []
        if artifact_id:
            used = mlmd.Artifact(id=artifact_id), event(key, 0, mlmd.Event.INPUT)
            pairs = stored_pairs(self._store, [used])
        if pipeline:
            type_id = self._store.context_type(PIPELINE)
            contexts = [mlmd.Context(type_id=type_id, name=pipeline)]
        self._store.write(what, lambda store: put_execution_once(store, execution, pairs, contexts))
