"""Records the attempts and results of a run's nodes in ML Metadata."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from prodml.artifacts import Artifact, PropertyValue
from prodml.compiler.spec import NodeSpec
from prodml.dsl.executor import ExecutorContext
from prodml.metadata.records import Attempt, State
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.launch.run_context import RunContext
from prodml.orchestration.resolve import cache
from prodml.orchestration.resolve.prepared_node import Prepared
from prodml.orchestration.results import NodeResult, NodeState

Artifacts = Mapping[str, Sequence[Artifact]]


@dataclass(frozen=True)
class BegunAttempt:
    """An attempt that is recorded as RUNNING.

    Attributes:
        name: name of the execution.
        log: file for the node's output.
        started: start time by the monotonic clock.
    """

    prepared: Prepared
    number: int
    execution_id: int
    name: str
    log: str
    started: float

    @property
    def node(self) -> NodeSpec:
        return self.prepared.node

    @property
    def seconds(self) -> float:
        """How long the attempt has been running."""
        return time.monotonic() - self.started


class Recorder:
    """Records attempts and results of one run, with one transaction for each change of state.

    Args:
        lock: locked during each call, because threads must not share a connection to ML Metadata.
    """

    def __init__(self, run: RunContext, writer: LineageWriter, lock: threading.RLock) -> None:
        self._run = run
        self._writer = writer
        self._lock = lock

    def begin(self, prepared: Prepared, number: int) -> BegunAttempt:
        """Records that an attempt starts, with its inputs.

        Raises:
            FencedError: another process took over the run.
        """
        node, log, started = prepared.node, self._run.log(prepared.node.id), time.monotonic()
        attempt = self._run.attempt(node, number)
        with self._lock:
            execution_id = self._writer.begin_execution(
                attempt,
                {**_parameters(node), "log": log, "reason": prepared.reason},
                prepared.inputs,
                prepared.fingerprint.keys if node.is_cached else (),
            )
        name = self._writer.execution_name(attempt)
        return BegunAttempt(prepared, number, execution_id, name, log, started)

    def complete(
        self, begun: BegunAttempt, context: ExecutorContext, outputs: Mapping[str, Artifact]
    ) -> NodeResult:
        """Records that an attempt succeeded, with its outputs; sets the outputs' ids.

        Raises:
            FencedError: another process took over the run; nothing is recorded.
        """
        for key, artifact in outputs.items():
            artifact.custom_properties.update(
                output_key=key,
                producer_component=begun.node.id,
                pipeline_name=self._run.spec.name,
            )
        seconds = begun.seconds
        properties = {
            "seconds": seconds,
            **_reported(context),
            cache.FINGERPRINT_PARTS: json.dumps(begun.prepared.fingerprint.parts),
        }
        made = {key: [artifact] for key, artifact in outputs.items()}
        with self._lock:
            ids = self._writer.complete_execution(begun.execution_id, properties, made)
        for key, artifact in outputs.items():
            artifact.uri = artifact.final_uri
            artifact.id = ids[key][0]
        return NodeResult(
            begun.node.id,
            NodeState.COMPLETE,
            outputs={key: tuple(found) for key, found in ids.items()},
            message=begun.prepared.reason,
            notes=tuple(context.notes),
            row_counts=tuple(context.row_counts),
            seconds=seconds,
            peak_memory=context.peak_memory,
            log=begun.log,
            execution_id=begun.execution_id,
            attempt=begun.number,
        )

    def cancel(self, begun: BegunAttempt, context: ExecutorContext | None) -> None:
        """Records that an attempt was interrupted."""
        self._end(begun, State.CANCELED, "cancelled", context)

    def fail(
        self, begun: BegunAttempt, context: ExecutorContext | None, message: str
    ) -> NodeResult:
        """Records that an attempt failed.

        Args:
            context: None if the attempt failed before its context was created.
        """
        self._end(begun, State.FAILED, message, context)
        return NodeResult(
            begun.node.id,
            NodeState.FAILED,
            message=message,
            notes=tuple(context.notes) if context else (),
            row_counts=tuple(context.row_counts) if context else (),
            seconds=begun.seconds,
            peak_memory=context.peak_memory if context else 0,
            log=begun.log,
            execution_id=begun.execution_id,
            attempt=begun.number,
        )

    def _end(
        self, begun: BegunAttempt, state: State, message: str, context: ExecutorContext | None
    ) -> None:
        reported = _reported(context) if context else {}
        properties = {"message": message, "seconds": begun.seconds, **reported}
        with self._lock:
            self._writer.end_execution(begun.execution_id, state, properties)

    def fail_before_attempt(self, node: NodeSpec, message: str, seconds: float) -> NodeResult:
        """Records that a node failed before its executor ran."""
        log, attempt = self._run.log(node.id), self._next_attempt(node)
        with self._lock:
            execution_id = self._writer.begin_execution(
                attempt, {**_parameters(node), "log": log}, {}
            )
            self._writer.end_execution(execution_id, State.FAILED, {"message": message})
        return NodeResult(
            node.id,
            NodeState.FAILED,
            message=message,
            seconds=seconds,
            log=log,
            execution_id=execution_id,
            attempt=attempt.number,
        )

    def reuse(self, prepared: Prepared, hit: cache.Hit, seconds: float) -> NodeResult:
        """Records that a node's outputs came from the cache."""
        execution_id = self._record_existing(
            prepared.node,
            State.CACHED,
            {
                "reason": prepared.reason,
                "notes": json.dumps(hit.notes),
                "cached_from": hit.execution_id,
                cache.FINGERPRINT_PARTS: json.dumps(prepared.fingerprint.parts),
            },
            prepared.inputs,
            hit.outputs,
        )
        return NodeResult(
            prepared.node.id,
            NodeState.CACHED,
            outputs=ids(hit.outputs),
            message=prepared.reason,
            notes=hit.notes,
            seconds=seconds,
            execution_id=execution_id,
            superseded=prepared.superseded,
        )

    def record_resolved(self, node: NodeSpec, outputs: Artifacts, seconds: float) -> NodeResult:
        """Records the outputs of a Resolver or an Importer; sets the id of a new artifact."""
        if any(not artifact.id for artifacts in outputs.values() for artifact in artifacts):
            with self._lock:
                execution_id = self._writer.begin_execution(self._next_attempt(node), {}, {})
                new = self._writer.complete_execution(execution_id, {}, outputs)
            for key, artifacts in outputs.items():
                for artifact, artifact_id in zip(artifacts, new[key], strict=True):
                    artifact.id = artifact_id
            message = "recorded"
        else:
            execution_id = self._record_existing(node, State.COMPLETE, {}, {}, outputs)
            count = sum(len(artifacts) for artifacts in outputs.values())
            message = f"found {count} artifact(s)" if count else "found none"
        return NodeResult(
            node.id,
            NodeState.COMPLETE,
            outputs=ids(outputs),
            message=message,
            seconds=seconds,
            execution_id=execution_id,
        )

    def _record_existing(
        self,
        node: NodeSpec,
        state: State,
        properties: Mapping[str, PropertyValue],
        inputs: Artifacts,
        outputs: Artifacts,
    ) -> int:
        attempt = self._next_attempt(node)
        with self._lock:
            return self._writer.record_existing(attempt, state, properties, inputs, outputs)

    def delete(self, artifact_ids: set[int], why: str) -> None:
        """Records damaged artifacts as deleted, so that no node uses them."""
        with self._lock:
            self._writer.mark_deleted(artifact_ids, why)

    def _next_attempt(self, node: NodeSpec) -> Attempt:
        return self._run.attempt(node, self._run.first_attempt(node.id))


def ids(outputs: Artifacts) -> dict[str, tuple[int, ...]]:
    """Ids of artifacts by key."""
    return {key: tuple(artifact.id for artifact in found) for key, found in outputs.items()}


def _parameters(node: NodeSpec) -> dict[str, PropertyValue]:
    """Parameters under their own names, as TFX records its exec_properties."""
    return {
        p.name: p.value if isinstance(p.value, str) else json.dumps(p.value, sort_keys=True)
        for p in node.parameters
        if p.value is not None
    }


def _reported(context: ExecutorContext) -> dict[str, PropertyValue]:
    """The properties that a node reported until its end, also if it failed."""
    return {
        "peak_memory": context.peak_memory,
        "row_counts": json.dumps([asdict(count) for count in context.row_counts]),
        "notes": json.dumps(context.notes),
    }
