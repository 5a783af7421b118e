"""Takes one node to its published outputs: adopt, skip, find, take from the cache, or run."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import tenacity

from prodml.artifacts import Artifact, PropertyValue
from prodml.compiler.spec import NodeKind, NodeSpec
from prodml.errors import MetadataError
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import State
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.events.announcements import Announcements
from prodml.orchestration.launch.attempts import (
    AttemptFailedError,
    Attempts,
    Watch,
    parameter_properties,
)
from prodml.orchestration.launch.failures import failure_message, was_interrupted
from prodml.orchestration.launch.retries import is_transient
from prodml.orchestration.launch.run_context import RunContext
from prodml.orchestration.recovery.earlier_attempts import FinishedNode
from prodml.orchestration.resolve import cache, inputs
from prodml.orchestration.resolve.blocking import Block, blocked_by_others, blocked_by_upstream
from prodml.orchestration.resolve.conditions import unmet_condition
from prodml.orchestration.resolve.prepared_node import Prepared, Preparer
from prodml.orchestration.results import NodeResult, NodeState
from prodml.secrets import redact

T = TypeVar("T")


class Launcher:
    """Runs the nodes of one run, from several threads if need be; only it writes metadata."""

    def __init__(
        self,
        run: RunContext,
        preparer: Preparer,
        reader: LineageReader,
        writer: LineageWriter,
        announcements: Announcements,
    ) -> None:
        self._run = run
        self._preparer = preparer
        self._reader = reader
        self._writer = writer
        self._announcements = announcements
        self._artifacts: dict[int, Artifact] = {}
        # Everything but the execution itself is done by one thread at a time: a connection to ML
        # Metadata is not to be shared.
        self._lock = threading.RLock()
        self._attempts = Attempts(run, writer, announcements, self._lock)
        self._adopted: set[str] = set()
        self.ended: dict[str, NodeResult] = {}
        """Results by node id, of every node that has ended."""

    @property
    def is_cancelled(self) -> bool:
        """Whether a node was interrupted."""
        return self._attempts.is_cancelled

    def settle(self, node: NodeSpec, ended: Mapping[str, NodeResult]) -> NodeResult | Prepared:
        """Ends a node whose result is known without running it; else says what it needs.

        Drivers and resolver strategies run here; what they raise is retried as an executor's
        errors are, and fails the node.

        Args:
            ended: results of the nodes that it waits for.
        """
        started, numbers = time.monotonic(), itertools.count(self._next_attempt(node))

        def report(error: BaseException, wait_seconds: float) -> None:
            message = failure_message(error, self._log(node))
            failed = NodeResult(node.id, NodeState.FAILED, message=message, attempt=next(numbers))
            self._announcements.node_retried(failed, wait_seconds)

        try:
            return self._retried(_is_transient_here, report, lambda: self._decided(node, ended))
        except MetadataError:
            raise
        except Exception as error:
            if was_interrupted(error):
                raise KeyboardInterrupt from error
            with self._lock:
                return self._told(self._failed_before(node, error, started))

    def _decided(self, node: NodeSpec, ended: Mapping[str, NodeResult]) -> NodeResult | Prepared:
        with self._lock:
            return self._settled(node, ended)

    def _settled(self, node: NodeSpec, ended: Mapping[str, NodeResult]) -> NodeResult | Prepared:
        started = time.monotonic()
        upstream = {id: ended[id] for id in node.upstream}
        if (block := blocked_by_upstream(node, ended)) is not None:
            return self._told(_skipped(node, block))
        unmet = unmet_condition(node, self._produced(upstream))
        if unmet is not None:
            return self._told(NodeResult(node.id, NodeState.SKIPPED, message=unmet))
        if (block := blocked_by_others(node, ended)) is not None:
            return self._told(_skipped(node, block))
        finished = self._run.history.finished.get(node.id)
        if finished is not None and self._adopted.issuperset(node.upstream):
            damage = self._damage(node, finished)
            if damage is None:
                return self._told(self._adopt(node, finished))
            if node.kind is NodeKind.EXECUTOR:
                self._writer.mark_deleted(_flat(finished.outputs), damage)
        if node.kind is not NodeKind.EXECUTOR:
            return self._told(self._found(node, started))
        prepared = self._preparer.prepare(node, self._produced(upstream))
        if prepared.hit is None:
            return prepared
        return self._told(self._cached(prepared, prepared.hit, started), prepared.inputs)

    def run(self, node: NodeSpec, ended: Mapping[str, NodeResult], watch: Watch) -> NodeResult:
        """Ends a node, running it where that is needed. Never raises because of the node."""
        settled = self.settle(node, ended)
        if isinstance(settled, NodeResult):
            return settled
        return self._told(self._execute(settled, watch), settled.inputs)

    def _execute(self, prepared: Prepared, watch: Watch) -> NodeResult:
        numbers = itertools.count(self._next_attempt(prepared.node))

        def report(error: BaseException, wait_seconds: float) -> None:
            assert isinstance(error, AttemptFailedError)
            self._announcements.node_retried(error.result, wait_seconds)

        try:
            result, outputs = self._retried(
                lambda error: isinstance(error, AttemptFailedError) and is_transient(error.cause),
                report,
                lambda: self._attempts.make(prepared, next(numbers), watch),
            )
        except AttemptFailedError as failed:
            return failed.result
        self._remember(outputs)
        return result

    def _retried(
        self,
        is_worth_it: Callable[[BaseException], bool],
        report: Callable[[BaseException, float], None],
        attempt: Callable[[], T],
    ) -> T:
        """What an attempt gives; errors that are worth it are retried by the run's policy."""
        policy = self._run.retry

        def before_sleep(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if error is not None:
                report(error, state.next_action.sleep if state.next_action else 0.0)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_worth_it),
            wait=tenacity.wait_exponential_jitter(policy.wait_seconds, policy.longest_wait_seconds),
            stop=tenacity.stop_after_attempt(policy.max_attempts),
            before_sleep=before_sleep,
            reraise=True,
        )
        return retrying(attempt)

    def _log(self, node: NodeSpec) -> str:
        return os.path.join(self._run.log_dir, f"{node.id}.log")

    def _next_attempt(self, node: NodeSpec) -> int:
        return self._run.history.attempts.get(node.id, 0) + 1

    def _damage(self, node: NodeSpec, finished: FinishedNode) -> str | None:
        if node.kind is NodeKind.EXECUTOR:
            return cache.damage_of(node, finished.outputs)
        links = self._reader.links_of_executions([finished.execution.id])
        found = {link.artifact_id for link in links if link.is_output}
        # Of these, those that were live when the run was resumed are its outputs.
        return None if found == _flat(finished.outputs) else "what it found is gone"

    def _adopt(self, node: NodeSpec, finished: FinishedNode) -> NodeResult:
        """Takes over what the node made before its run was resumed."""
        self._adopted.add(node.id)
        self._remember(finished.outputs)
        values = finished.execution.properties
        return NodeResult(
            node.id,
            NodeState.COMPLETE,
            outputs=_ids(finished.outputs),
            message="finished before the run was resumed",
            notes=tuple(json.loads(str(values.get("notes", "[]")))),
            seconds=float(values.get("seconds", 0.0)),
            execution_id=finished.execution.id,
        )

    def _cached(self, prepared: Prepared, hit: cache.Hit, started: float) -> NodeResult:
        node = prepared.node
        (source,) = self._reader.executions([hit.execution_id])
        notes = str(source.properties.get("notes", "[]"))
        execution_id = self._record_found(
            node,
            State.CACHED,
            prepared.inputs,
            hit.outputs,
            {
                "reason": prepared.reason,
                "notes": notes,
                "cached_from": hit.execution_id,
                cache.FINGERPRINT_PARTS: json.dumps(prepared.fingerprint.parts),
            },
        )
        return NodeResult(
            node.id,
            NodeState.CACHED,
            outputs=_ids(hit.outputs),
            message=prepared.reason,
            notes=tuple(json.loads(notes)),
            seconds=time.monotonic() - started,
            execution_id=execution_id,
            superseded=prepared.superseded,
        )

    def _found(self, node: NodeSpec, started: float) -> NodeResult:
        outputs = self._preparer.find(node)
        new = [a for artifacts in outputs.values() for a in artifacts if not a.id]
        if new:
            execution_id = self._writer.begin_execution(
                self._run.spec.name,
                self._run.run_id,
                node.id,
                node.execution_type,
                {},
                {},
                self._next_attempt(node),
            )
            named = {
                key: [
                    (
                        f"{self._run.spec.name}:{self._run.run_id}:{node.id}:{key}:{i}:{execution_id}",
                        a,
                    )
                    for i, a in enumerate(artifacts)
                ]
                for key, artifacts in outputs.items()
            }
            ids = self._writer.complete_execution(execution_id, {}, named)
            for key, artifacts in outputs.items():
                for artifact, artifact_id in zip(artifacts, ids[key], strict=True):
                    artifact.id = artifact_id
            message = "recorded"
        else:
            execution_id = self._record_found(node, State.COMPLETE, {}, outputs, {})
            count = sum(len(artifacts) for artifacts in outputs.values())
            message = f"found {count} artifact(s)" if count else "found none"
        self._remember(outputs)
        return NodeResult(
            node.id,
            NodeState.COMPLETE,
            outputs=_ids(outputs),
            message=message,
            seconds=time.monotonic() - started,
            execution_id=execution_id,
        )

    def _record_found(
        self,
        node: NodeSpec,
        state: State,
        used: Mapping[str, Sequence[Artifact]],
        outputs: Mapping[str, Sequence[Artifact]],
        properties: Mapping[str, PropertyValue],
    ) -> int:
        execution_id = self._writer.record_found(
            self._run.spec.name,
            self._run.run_id,
            node.id,
            node.execution_type,
            state,
            properties,
            used,
            outputs,
            self._next_attempt(node),
        )
        self._remember(outputs)
        return execution_id

    def _failed_before(self, node: NodeSpec, error: Exception, started: float) -> NodeResult:
        """Records that a node failed before its executor ran."""
        log = self._log(node)
        os.makedirs(os.path.dirname(log), exist_ok=True)
        with open(log, "a", encoding="utf-8") as file:
            file.write(redact("".join(traceback.format_exception(error))))
        message = failure_message(error, log)
        attempt = self._next_attempt(node)
        execution_id = self._writer.begin_execution(
            self._run.spec.name,
            self._run.run_id,
            node.id,
            node.execution_type,
            {**parameter_properties(node), "log": log},
            {},
            attempt,
        )
        self._writer.end_execution(execution_id, State.FAILED, {"message": message})
        return NodeResult(
            node.id,
            NodeState.FAILED,
            message=message,
            seconds=time.monotonic() - started,
            log=log,
            execution_id=execution_id,
            attempt=attempt,
        )

    def _produced(self, upstream: Mapping[str, NodeResult]) -> dict[str, inputs.Artifacts]:
        wanted = {i for r in upstream.values() for ids in r.outputs.values() for i in ids}
        for record in self._reader.artifacts(wanted - self._artifacts.keys()):
            self._artifacts[record.id] = inputs.to_artifact(record)
        return {
            node_id: {key: [self._artifacts[i] for i in ids] for key, ids in result.outputs.items()}
            for node_id, result in upstream.items()
        }

    def _remember(self, outputs: Mapping[str, Sequence[Artifact]]) -> None:
        for artifacts in outputs.values():
            self._artifacts.update({artifact.id: artifact for artifact in artifacts})

    def _told(self, result: NodeResult, used: inputs.Artifacts | None = None) -> NodeResult:
        self.ended[result.node_id] = result
        outputs = {k: [self._artifacts[i] for i in ids] for k, ids in result.outputs.items()}
        self._announcements.node_ended(result, used or {}, outputs)
        return result


def _is_transient_here(error: BaseException) -> bool:
    """Whether what raised before an attempt is worth a retry; the store has retries of its own."""
    return not isinstance(error, MetadataError) and is_transient(error)


def _skipped(node: NodeSpec, block: Block) -> NodeResult:
    return NodeResult(node.id, NodeState.SKIPPED, message=block.reason, blocked_by=block.failed)


def _ids(outputs: Mapping[str, Sequence[Artifact]]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(a.id for a in artifacts) for key, artifacts in outputs.items()}


def _flat(outputs: Mapping[str, Sequence[Artifact]]) -> set[int]:
    return {a.id for artifacts in outputs.values() for a in artifacts}
