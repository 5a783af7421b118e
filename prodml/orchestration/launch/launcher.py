"""Runs one node to its result: executes, records and announces what was decided."""

from __future__ import annotations

import itertools
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import tenacity

from prodml.artifacts import Artifact
from prodml.compiler.spec import NodeKind, NodeSpec
from prodml.errors import MetadataError
from prodml.metadata.reading import LineageReader
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.events.announcements import Announcements
from prodml.orchestration.launch.attempts import AttemptFailedError, Attempts, Watch
from prodml.orchestration.launch.decision import Adopt, Search, Skip, adoptable, decide
from prodml.orchestration.launch.failures import failure_message, was_interrupted
from prodml.orchestration.launch.recording import Recorder
from prodml.orchestration.launch.retries import is_transient
from prodml.orchestration.launch.run_context import RunContext
from prodml.orchestration.recovery.earlier_attempts import CompletedNode
from prodml.orchestration.resolve import cache, inputs
from prodml.orchestration.resolve.prepared_node import Prepared, Preparer
from prodml.orchestration.results import NodeResult, NodeState
from prodml.secrets import redact

T = TypeVar("T")


class Launcher:
    """Runs the nodes of one run, also from several threads; the only writer of node metadata."""

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
        self._announcements = announcements
        self._artifacts: dict[int, Artifact] = {}
        self._prepared: dict[str, Prepared] = {}
        """Nodes that `resolve` prepared for `run`, by id, so that input files are read once."""
        # Only executors run concurrently; one thread at a time does the rest, because threads must
        # not share a connection to ML Metadata.
        self._lock = threading.RLock()
        self._recorder = Recorder(run, writer, self._lock)
        self._attempts = Attempts(run, self._recorder, announcements, self._lock)

    def resolve(self, node: NodeSpec, ended: Mapping[str, NodeResult]) -> NodeResult | None:
        """Resolves a node whose result is known without running it; None if the node must run.

        Drivers and resolver strategies run here. Their errors are retried like those of executors,
        and fail the node.

        Args:
            ended: results of the nodes that the node waits for.
        """
        started, numbers = time.monotonic(), itertools.count(self._run.first_attempt(node.id))

        def report(error: BaseException, wait_seconds: float) -> None:
            message = failure_message(error, self._run.log(node.id))
            failed = NodeResult(node.id, NodeState.FAILED, message=message, attempt=next(numbers))
            self._announcements.node_retried(failed, wait_seconds)

        try:
            return self._retried(
                _is_transient_before_attempt, report, lambda: self._resolved(node, ended)
            )
        except MetadataError:
            raise
        except Exception as error:
            if was_interrupted(error):
                raise KeyboardInterrupt from error
            return self._end(self._failed_before_attempt(node, error, started))

    def run(self, node: NodeSpec, ended: Mapping[str, NodeResult], watch: Watch) -> NodeResult:
        """Resolves or runs a node. An error of the node is its result, and is not raised."""
        if node.id not in self._prepared:
            resolved = self.resolve(node, ended)
            if resolved is not None:
                return resolved
        prepared = self._prepared.pop(node.id)
        return self._end(self._execute(prepared, watch), prepared.inputs)

    def _resolved(self, node: NodeSpec, ended: Mapping[str, NodeResult]) -> NodeResult | None:
        with self._lock:
            return self._carry_out_decision(node, ended)

    def _carry_out_decision(
        self, node: NodeSpec, ended: Mapping[str, NodeResult]
    ) -> NodeResult | None:
        started = time.monotonic()
        produced = self._produced({id: ended[id] for id in node.upstream})
        match decide(node, ended, produced, self._adoptable(node, ended)):
            case Skip(reason, failed):
                skipped = NodeResult(node.id, NodeState.SKIPPED, message=reason, blocked_by=failed)
                return self._end(skipped)
            case Adopt(finished):
                self._read(id for ids in finished.outputs.values() for id in ids)
                return self._end(_adopted(node, finished))
            case Search():
                outputs = self._preparer.find(node)
                result = self._recorder.record_resolved(node, outputs, time.monotonic() - started)
                self._remember(outputs)
                return self._end(result)
        prepared = self._preparer.prepare(node, produced)
        if prepared.hit is None:
            self._prepared[node.id] = prepared
            return None
        seconds = time.monotonic() - started
        result = self._recorder.reuse(prepared, prepared.hit, seconds)
        self._remember(prepared.hit.outputs)
        return self._end(result, prepared.inputs)

    def _adoptable(self, node: NodeSpec, ended: Mapping[str, NodeResult]) -> CompletedNode | None:
        """The node's result from before the run was resumed, if its outputs are undamaged."""
        finished = adoptable(node, ended, self._run.history)
        if finished is None or (damage := self._damage(node, finished)) is None:
            return finished
        if node.kind is NodeKind.EXECUTOR:
            self._recorder.delete({id for ids in finished.outputs.values() for id in ids}, damage)
        return None

    def _damage(self, node: NodeSpec, finished: CompletedNode) -> str | None:
        if node.kind is NodeKind.EXECUTOR:
            return cache.damage_of(node, self._artifacts_of(finished.outputs))
        links = self._reader.links_of_executions([finished.execution_id])
        found = {link.artifact_id for link in links if link.is_output}
        # Artifacts that were not live when the run was resumed are missing from its outputs.
        live = {id for ids in finished.outputs.values() for id in ids}
        return None if found == live else "an artifact that it found is no longer live"

    def _failed_before_attempt(
        self, node: NodeSpec, error: Exception, started: float
    ) -> NodeResult:
        log = self._run.log(node.id)
        os.makedirs(os.path.dirname(log), exist_ok=True)
        with open(log, "a", encoding="utf-8") as file:
            file.write(redact("".join(traceback.format_exception(error))))
        message = failure_message(error, log)
        return self._recorder.fail_before_attempt(node, message, time.monotonic() - started)

    def _execute(self, prepared: Prepared, watch: Watch) -> NodeResult:
        numbers = itertools.count(self._run.first_attempt(prepared.node.id))

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
        should_retry: Callable[[BaseException], bool],
        report: Callable[[BaseException, float], None],
        attempt: Callable[[], T],
    ) -> T:
        """Returns the result of `attempt`; retries by the run's policy if `should_retry`."""
        policy = self._run.settings.retry

        def before_sleep(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if error is not None:
                report(error, state.next_action.sleep if state.next_action else 0.0)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(should_retry),
            wait=tenacity.wait_exponential_jitter(policy.wait_seconds, policy.longest_wait_seconds),
            stop=tenacity.stop_after_attempt(policy.max_attempts),
            before_sleep=before_sleep,
            reraise=True,
        )
        return retrying(attempt)

    def _produced(self, upstream: Mapping[str, NodeResult]) -> dict[str, inputs.Artifacts]:
        self._read(i for r in upstream.values() for ids in r.outputs.values() for i in ids)
        return {id: self._artifacts_of(result.outputs) for id, result in upstream.items()}

    def _artifacts_of(self, outputs: Mapping[str, Sequence[int]]) -> dict[str, list[Artifact]]:
        self._read(id for ids in outputs.values() for id in ids)
        return {key: [self._artifacts[id] for id in ids] for key, ids in outputs.items()}

    def _read(self, ids: Iterable[int]) -> None:
        """Reads artifacts that are not known yet."""
        for record in self._reader.artifacts(set(ids) - self._artifacts.keys()):
            self._artifacts[record.id] = inputs.to_artifact(record)

    def _remember(self, outputs: Mapping[str, Sequence[Artifact]]) -> None:
        for artifacts in outputs.values():
            self._artifacts.update({artifact.id: artifact for artifact in artifacts})

    def _end(self, result: NodeResult, used: inputs.Artifacts | None = None) -> NodeResult:
        """Announces the result of a node."""
        with self._lock:
            outputs = self._artifacts_of(result.outputs)
        self._announcements.node_ended(result, used or {}, outputs)
        return result


def _adopted(node: NodeSpec, finished: CompletedNode) -> NodeResult:
    return NodeResult(
        node.id,
        NodeState.COMPLETE,
        outputs=finished.outputs,
        message="completed before the run was resumed",
        notes=finished.notes,
        seconds=finished.seconds,
        execution_id=finished.execution_id,
    )


def _is_transient_before_attempt(error: BaseException) -> bool:
    """Whether to retry an error that was raised before an attempt; the store retries by itself."""
    return not isinstance(error, MetadataError) and is_transient(error)
