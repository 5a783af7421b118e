"""One attempt to run a node: begin, stage, execute, publish, record.

Each is an execution of its own in ML Metadata and writes under its own URI.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict

from prodml import keras_choice
from prodml.artifacts import Artifact, PropertyValue
from prodml.compiler.spec import NodeSpec
from prodml.dsl.executor import ExecutorContext
from prodml.errors import ArtifactError, FencedError, MetadataUnavailableError, ProdmlError
from prodml.metadata.records import State
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.code import executors
from prodml.orchestration.events.announcements import Announcements
from prodml.orchestration.launch import peak_memory
from prodml.orchestration.launch.failures import failure_message, was_interrupted
from prodml.orchestration.launch.node_limits import NodeLimits
from prodml.orchestration.launch.run_context import RunContext
from prodml.orchestration.publish import manifest, publication
from prodml.orchestration.publish.local_copies import local_copy
from prodml.orchestration.resolve import cache
from prodml.orchestration.resolve.prepared_node import Prepared
from prodml.orchestration.results import NodeResult, NodeState
from prodml.secrets import redact

Watch = Callable[[str], AbstractContextManager[None]]
"""Sends what a node prints while it executes to the file it is given."""


class AttemptFailedError(Exception):
    """An attempt failed; `cause` says why, `result` is the node's if there is no other attempt."""

    def __init__(self, cause: BaseException, result: NodeResult) -> None:
        super().__init__(result.message)
        self.cause = cause
        self.result = result


class Attempts:
    """Makes the attempts of one run.

    Args:
        lock: held while ML Metadata is spoken to, or modules are imported.
    """

    def __init__(
        self,
        run: RunContext,
        writer: LineageWriter,
        announcements: Announcements,
        lock: threading.RLock,
    ) -> None:
        self._run = run
        self._writer = writer
        self._announcements = announcements
        self._lock = lock
        self.is_cancelled = False
        """Whether one was interrupted; Beam makes a RuntimeError of a KeyboardInterrupt."""

    def make(
        self, prepared: Prepared, attempt: int, watch: Watch
    ) -> tuple[NodeResult, dict[str, list[Artifact]]]:
        """Runs a node once.

        Returns:
            How it ended, and its outputs.

        Raises:
            AttemptFailedError: it failed; nothing of it is visible.
            KeyboardInterrupt: it was interrupted; nothing of it is visible.
            MetadataUnavailableError: it cannot be recorded how it ended.
            FencedError: another process took the run over; nothing of it is visible.
        """
        node, started = prepared.node, time.monotonic()
        log = os.path.join(self._run.log_dir, f"{node.id}.log")
        with self._lock:
            execution_id = self._begin(prepared, attempt, log)
        staging = context = None
        try:
            for key, artifacts in prepared.inputs.items():
                refuse_damaged(key, artifacts)
            staging = publication.stage(
                self._run.pipeline_root,
                self._run.scratch_root,
                node,
                execution_id,
                self._writer.name_of_execution(self._run.run_id, node.id, attempt),
            )
            context = self._context(prepared, staging)
            self._execute(node, context, attempt, watch, log)
            publication.publish(staging)
            with self._lock:
                return self._complete(
                    prepared, execution_id, attempt, staging, context, started, log
                )
        except (MetadataUnavailableError, FencedError):
            raise
        except BaseException as error:
            if was_interrupted(error):
                self.is_cancelled = True
                self._end(execution_id, State.CANCELED, "cancelled", started, context)
                raise KeyboardInterrupt from error
            if not isinstance(error, Exception | SystemExit):
                raise
            message = failure_message(error, log)
            self._end(execution_id, State.FAILED, message, started, context)
            result = NodeResult(
                node.id,
                NodeState.FAILED,
                message=message,
                notes=tuple(context.notes) if context else (),
                row_counts=tuple(context.row_counts) if context else (),
                seconds=time.monotonic() - started,
                peak_memory=context.peak_memory if context else 0,
                log=log,
                execution_id=execution_id,
                attempt=attempt,
            )
            raise AttemptFailedError(error, result) from error
        finally:
            if staging is not None:
                publication.discard(staging)

    def _begin(self, prepared: Prepared, attempt: int, log: str) -> int:
        node = prepared.node
        execution_id = self._writer.begin_execution(
            self._run.spec.name,
            self._run.run_id,
            node.id,
            node.execution_type,
            {**parameter_properties(node), "log": log, "reason": prepared.reason},
            prepared.inputs,
            attempt,
            prepared.fingerprint.keys if node.is_cached else (),
        )
        self._announcements.node_started(
            node.id, execution_id, attempt, prepared.reason, log, prepared.inputs
        )
        return execution_id

    def _execute(
        self, node: NodeSpec, context: ExecutorContext, attempt: int, watch: Watch, log: str
    ) -> None:
        """Runs the executor and measures its memory."""
        if attempt > 1:
            with open(log, "a", encoding="utf-8") as file:
                file.write(f"--- attempt {attempt}\n")
        limits = self._limits(node, context)
        if limits is not None:
            from prodml.orchestration.launch import node_process

            keras = self._run.keras.nodes.get(node.id, self._run.keras.process)
            node_process.execute(node, context, self._run.beam, limits, log, keras)
            return
        with watch(log):
            try:
                # Two threads must not import at once: where packages import one another in a
                # circle, as TensorFlow's do, Python would give one of them half a module.
                with self._lock:
                    execute = executors.load_executor(node)
                execute(context)
            except BaseException:
                print(redact(traceback.format_exc()), file=sys.stderr)
                raise
            finally:
                context.peak_memory = peak_memory.peak()

    def _limits(self, node: NodeSpec, context: ExecutorContext) -> NodeLimits | None:
        """What bounds the node's own process; None if it runs in this one."""
        limits = self._run.limits.get(node.id)
        keras = self._run.keras.nodes.get(node.id)
        if limits is not None or keras is None:
            return limits
        with self._lock:
            is_available = keras_choice.is_available(keras)
        if is_available:
            return None
        context.note(
            f"ran in a process of its own: tf.keras is {keras} for {node.id}, and cannot be in the "
            f"run's process; set the same keras everywhere to save an import of TensorFlow"
        )
        return NodeLimits()

    def _complete(
        self,
        prepared: Prepared,
        execution_id: int,
        attempt: int,
        staging: publication.Staging,
        context: ExecutorContext,
        started: float,
        log: str,
    ) -> tuple[NodeResult, dict[str, list[Artifact]]]:
        node, pipeline = prepared.node, self._run.spec.name
        for key, artifact in staging.outputs.items():
            artifact.custom_properties.update(
                output_key=key, producer_component=node.id, pipeline_name=pipeline
            )
        named = {
            key: [(f"{pipeline}:{self._run.run_id}:{node.id}:{key}:0:{execution_id}", artifact)]
            for key, artifact in staging.outputs.items()
        }
        seconds = time.monotonic() - started
        try:
            ids = self._writer.complete_execution(
                execution_id,
                {
                    "seconds": seconds,
                    **_reported(context),
                    cache.FINGERPRINT_PARTS: json.dumps(prepared.fingerprint.parts),
                },
                named,
            )
        except MetadataUnavailableError:
            # It may be recorded or not. What reads the store again will know.
            raise
        except ProdmlError:
            publication.withdraw(list(staging.outputs.values()))
            raise
        for key, artifact in staging.outputs.items():
            artifact.uri = artifact.final_uri
            artifact.id = ids[key][0]
        result = NodeResult(
            node.id,
            NodeState.COMPLETE,
            outputs={key: tuple(found) for key, found in ids.items()},
            message=prepared.reason,
            notes=tuple(context.notes),
            row_counts=tuple(context.row_counts),
            seconds=seconds,
            peak_memory=context.peak_memory,
            log=log,
            execution_id=execution_id,
            attempt=attempt,
        )
        return result, {key: [artifact] for key, artifact in staging.outputs.items()}

    def _end(
        self,
        execution_id: int,
        state: State,
        message: str,
        started: float,
        context: ExecutorContext | None,
    ) -> None:
        seconds = time.monotonic() - started
        reported = _reported(context) if context else {}
        with self._lock:
            self._writer.end_execution(
                execution_id, state, {"message": message, "seconds": seconds, **reported}
            )

    def _context(self, prepared: Prepared, staging: publication.Staging) -> ExecutorContext:
        node, copies = prepared.node, os.path.join(self._run.scratch_root, "copies")
        return ExecutorContext(
            pipeline_name=self._run.spec.name,
            run_id=self._run.run_id,
            node_id=node.id,
            inputs={
                d.name: tuple(local_copy(a, copies) for a in prepared.inputs.get(d.name, ()))
                for d in node.inputs
            },
            declared_inputs=frozenset(d.name for d in node.inputs if d.channels),
            outputs=staging.outputs,
            parameters=executors.parameters_of(node),
            resolved=prepared.driver.resolved if prepared.driver else {},
            tmp_dir=staging.tmp_dir,
            beam=self._run.beam,
            reporter=_NodeReporter(node.id, self._announcements),
        )


def refuse_damaged(key: str, artifacts: Sequence[Artifact]) -> None:
    """Returns where the artifacts of an input are what was published.

    Raises:
        ArtifactError: one is not; names its producer and the file.
    """
    for artifact in artifacts:
        if artifact.custom_properties.get("is_external"):
            continue
        damage = manifest.difference(artifact.uri)
        if damage is not None:
            producer = artifact.custom_properties.get("producer_component", "its producer")
            raise ArtifactError(
                f"input {key!r} (artifact {artifact.id}) is not what {producer} published: "
                f"{damage}; run the pipeline again, and {producer} makes it anew"
            )


def parameter_properties(node: NodeSpec) -> dict[str, PropertyValue]:
    """Parameters under their own names, as TFX records its exec_properties."""
    return {
        p.name: p.value if isinstance(p.value, str) else json.dumps(p.value, sort_keys=True)
        for p in node.parameters
        if p.value is not None
    }


def _reported(context: ExecutorContext) -> dict[str, PropertyValue]:
    """What is known of a node until it ended, however it ended."""
    return {
        "peak_memory": context.peak_memory,
        "row_counts": json.dumps([asdict(count) for count in context.row_counts]),
        "notes": json.dumps(context.notes),
    }


class _NodeReporter:
    def __init__(self, node_id: str, announcements: Announcements) -> None:
        self._node_id = node_id
        self._announcements = announcements

    def progress(self, done: int, total: int | None, unit: str) -> None:
        self._announcements.node_progress(self._node_id, done, total, unit)
