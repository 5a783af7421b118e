"""Takes one node to its published outputs: settle, stage, execute, publish."""

from __future__ import annotations

import json
import os
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict

from prodml.artifacts import Artifact, PropertyValue
from prodml.beam.profiles import RunnerProfile
from prodml.compiler.spec import NodeKind, NodeSpec, PipelineSpec
from prodml.dsl.executor import ExecutorContext
from prodml.errors import NodeError, ProdmlError, storage_error
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import State
from prodml.metadata.writing import LineageWriter
from prodml.orchestration import cache, executors, inputs, memory, publication
from prodml.orchestration.conditions import unmet_condition
from prodml.orchestration.prepare import Prepared, Preparer
from prodml.orchestration.results import NodeResult, NodeState, Observer

Watch = Callable[[str], AbstractContextManager[None]]
"""Sends what a node prints while it executes to the file it is given."""


class Launcher:
    """Runs the nodes of one run, from several threads if need be; only it writes metadata.

    Args:
        run_id: the run.
        pipeline_root: where artifacts are published.
        log_dir: where each node's output is captured.
        beam: the runner profile that executors get.
    """

    def __init__(
        self,
        spec: PipelineSpec,
        run_id: str,
        preparer: Preparer,
        reader: LineageReader,
        writer: LineageWriter,
        pipeline_root: str,
        log_dir: str,
        beam: RunnerProfile,
        observer: Observer,
    ) -> None:
        self._spec = spec
        self._run_id = run_id
        self._preparer = preparer
        self._reader = reader
        self._writer = writer
        self._pipeline_root = pipeline_root
        self._log_dir = log_dir
        self._beam = beam
        self._observer = observer
        self._artifacts: dict[int, Artifact] = {}
        # Everything but the execution itself is done by one thread at a time: a connection to ML
        # Metadata is not to be shared.
        self._lock = threading.RLock()
        self.ended: dict[str, NodeResult] = {}
        """Results by node id, of every node that has ended."""
        self.is_cancelled = False
        """Whether a node was interrupted; Beam makes a RuntimeError of a KeyboardInterrupt."""

    def settle(self, node: NodeSpec, upstream: Mapping[str, NodeResult]) -> NodeResult | Prepared:
        """Ends a node whose result is known without running it; else says what it needs."""
        with self._lock:
            return self._settled(node, upstream)

    def _settled(self, node: NodeSpec, upstream: Mapping[str, NodeResult]) -> NodeResult | Prepared:
        started = time.monotonic()
        missing = sorted(id for id, result in upstream.items() if not result.state.is_success)
        try:
            if missing:
                cause = f"{', '.join(missing)} did not succeed or was skipped"
                return self._told(NodeResult(node.id, NodeState.SKIPPED, message=cause))
            unmet = unmet_condition(node, self._produced(upstream))
            if unmet is not None:
                return self._told(NodeResult(node.id, NodeState.SKIPPED, message=unmet))
            if node.kind is not NodeKind.EXECUTOR:
                return self._told(self._found(node, started))
            prepared = self._preparer.prepare(node, self._produced(upstream))
            if prepared.hit is None:
                return prepared
            return self._told(self._cached(prepared, prepared.hit, started))
        except NodeError as error:
            return self._told(self._failed_before(node, error, started))

    def run(self, node: NodeSpec, upstream: Mapping[str, NodeResult], watch: Watch) -> NodeResult:
        """Ends a node, running it where that is needed. Never raises because of the node."""
        settled = self.settle(node, upstream)
        if isinstance(settled, NodeResult):
            return settled
        self._observer.node_started(node.id, settled.reason)
        return self._told(self._execute(settled, watch))

    def _execute(self, prepared: Prepared, watch: Watch) -> NodeResult:
        node = prepared.node
        started = time.monotonic()
        log = os.path.join(self._log_dir, f"{node.id}.log")
        with self._lock:
            execution_id = self._writer.begin_execution(
                self._spec.name,
                self._run_id,
                node.id,
                node.execution_type,
                {**_parameter_properties(node), "log": log, "reason": prepared.reason},
                prepared.inputs,
            )
        staging = None
        try:
            staging = publication.stage(self._pipeline_root, node, execution_id)
            context = self._context(prepared, staging)
            with watch(log):
                try:
                    # Two threads must not import at once: where packages import one another in a
                    # circle, as TensorFlow's do, Python would give one of them half a module.
                    with self._lock:
                        execute = executors.load_executor(node)
                    execute(context)
                except BaseException:
                    traceback.print_exc()
                    raise
            publication.publish(staging)
            with self._lock:
                return self._complete(prepared, execution_id, staging, context, started, log)
        except BaseException as error:
            if _was_interrupted(error):
                self.is_cancelled = True
                with self._lock:
                    self._writer.end_execution(
                        execution_id, State.CANCELED, {"message": "cancelled"}
                    )
                raise KeyboardInterrupt from error
            if not isinstance(error, Exception):
                raise
            message = _message(error, log)
            seconds = time.monotonic() - started
            with self._lock:
                self._writer.end_execution(
                    execution_id, State.FAILED, {"message": message, "seconds": seconds}
                )
            return NodeResult(
                node.id,
                NodeState.FAILED,
                message=message,
                seconds=seconds,
                peak_memory=memory.peak(),
                log=log,
            )
        finally:
            if staging is not None:
                publication.discard(staging)

    def _complete(
        self,
        prepared: Prepared,
        execution_id: int,
        staging: publication.Staging,
        context: ExecutorContext,
        started: float,
        log: str,
    ) -> NodeResult:
        node = prepared.node
        for key, artifact in staging.outputs.items():
            artifact.custom_properties.update(
                output_key=key, producer_component=node.id, pipeline_name=self._spec.name
            )
        named = {
            key: [(f"{self._spec.name}:{self._run_id}:{node.id}:{key}:0", artifact)]
            for key, artifact in staging.outputs.items()
        }
        seconds, peak = time.monotonic() - started, memory.peak()
        try:
            ids = self._writer.complete_execution(
                execution_id,
                {
                    "seconds": seconds,
                    "peak_memory": peak,
                    "row_counts": json.dumps([asdict(count) for count in context.row_counts]),
                    "notes": json.dumps(context.notes),
                    cache.FINGERPRINT_PARTS: json.dumps(prepared.fingerprint.parts),
                },
                named,
                prepared.fingerprint.keys if node.is_cached else (),
            )
        except ProdmlError:
            publication.withdraw(list(staging.outputs.values()))
            raise
        for key, artifact in staging.outputs.items():
            artifact.uri = artifact.final_uri
            artifact.id = ids[key][0]
            self._artifacts[artifact.id] = artifact
        return NodeResult(
            node.id,
            NodeState.COMPLETE,
            outputs={key: tuple(found) for key, found in ids.items()},
            message=prepared.reason,
            notes=tuple(context.notes),
            row_counts=tuple(context.row_counts),
            seconds=seconds,
            peak_memory=peak,
            log=log,
        )

    def _cached(self, prepared: Prepared, hit: cache.Hit, started: float) -> NodeResult:
        node = prepared.node
        (source,) = self._reader.executions([hit.execution_id])
        notes = str(source.properties.get("notes", "[]"))
        self._record_found(
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
        )

    def _found(self, node: NodeSpec, started: float) -> NodeResult:
        outputs = self._preparer.find(node)
        new = [a for artifacts in outputs.values() for a in artifacts if not a.id]
        if new:
            execution_id = self._writer.begin_execution(
                self._spec.name, self._run_id, node.id, node.execution_type, {}, {}
            )
            named = {
                key: [(f"{self._spec.name}:{self._run_id}:{node.id}:{key}:{i}", artifact)]
                for key, artifacts in outputs.items()
                for i, artifact in enumerate(artifacts)
            }
            ids = self._writer.complete_execution(execution_id, {}, named)
            for key, artifacts in outputs.items():
                for artifact, artifact_id in zip(artifacts, ids[key], strict=True):
                    artifact.id = artifact_id
            message = "recorded"
        else:
            self._record_found(node, State.COMPLETE, {}, outputs, {})
            count = sum(len(artifacts) for artifacts in outputs.values())
            message = f"found {count} artifact(s)" if count else "found none"
        for artifacts in outputs.values():
            self._artifacts.update({artifact.id: artifact for artifact in artifacts})
        return NodeResult(
            node.id,
            NodeState.COMPLETE,
            outputs=_ids(outputs),
            message=message,
            seconds=time.monotonic() - started,
        )

    def _record_found(
        self,
        node: NodeSpec,
        state: State,
        used: Mapping[str, Sequence[Artifact]],
        outputs: Mapping[str, Sequence[Artifact]],
        properties: Mapping[str, PropertyValue],
    ) -> None:
        self._writer.record_found(
            self._spec.name,
            self._run_id,
            node.id,
            node.execution_type,
            state,
            properties,
            used,
            outputs,
        )
        for artifacts in outputs.values():
            self._artifacts.update({artifact.id: artifact for artifact in artifacts})

    def _failed_before(self, node: NodeSpec, error: NodeError, started: float) -> NodeResult:
        execution_id = self._writer.begin_execution(
            self._spec.name,
            self._run_id,
            node.id,
            node.execution_type,
            _parameter_properties(node),
            {},
        )
        self._writer.end_execution(execution_id, State.FAILED, {"message": str(error)})
        seconds = time.monotonic() - started
        return NodeResult(node.id, NodeState.FAILED, message=str(error), seconds=seconds)

    def _context(self, prepared: Prepared, staging: publication.Staging) -> ExecutorContext:
        node = prepared.node
        return ExecutorContext(
            pipeline_name=self._spec.name,
            run_id=self._run_id,
            node_id=node.id,
            inputs={d.name: tuple(prepared.inputs.get(d.name, ())) for d in node.inputs},
            declared_inputs=frozenset(d.name for d in node.inputs if d.channels),
            outputs=staging.outputs,
            parameters=executors.parameters_of(node),
            resolved=prepared.driver.resolved if prepared.driver else {},
            tmp_dir=staging.tmp_dir,
            beam=self._beam,
            reporter=_NodeReporter(node.id, self._observer),
        )

    def _produced(self, upstream: Mapping[str, NodeResult]) -> dict[str, inputs.Artifacts]:
        wanted = {i for r in upstream.values() for ids in r.outputs.values() for i in ids}
        for record in self._reader.artifacts(wanted - self._artifacts.keys()):
            self._artifacts[record.id] = inputs.to_artifact(record)
        return {
            node_id: {key: [self._artifacts[i] for i in ids] for key, ids in result.outputs.items()}
            for node_id, result in upstream.items()
        }

    def _told(self, result: NodeResult) -> NodeResult:
        self.ended[result.node_id] = result
        self._observer.node_finished(result)
        return result


class _NodeReporter:
    def __init__(self, node_id: str, observer: Observer) -> None:
        self._node_id = node_id
        self._observer = observer

    def progress(self, done: int, total: int | None, unit: str) -> None:
        self._observer.node_progress(self._node_id, done, total, unit)


def _ids(outputs: Mapping[str, Sequence[Artifact]]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(a.id for a in artifacts) for key, artifacts in outputs.items()}


def _parameter_properties(node: NodeSpec) -> dict[str, PropertyValue]:
    """Parameters under their own names, as TFX records its exec_properties."""
    return {
        p.name: p.value if isinstance(p.value, str) else json.dumps(p.value, sort_keys=True)
        for p in node.parameters
        if p.value is not None
    }


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C or SIGTERM is behind an error: Beam and user code wrap what they catch."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _message(error: Exception, log: str) -> str:
    if isinstance(error, OSError) and (refused := storage_error(error)) is not None:
        error = refused
    if isinstance(error, ProdmlError):
        return str(error)
    return f"{type(error).__name__}: {error}; the full output is in {log}"
