"""One attempt to run a node: begin, stage, execute, publish, record.

Each attempt is a separate execution in ML Metadata, and writes to its own URIs.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from prodml import keras_choice
from prodml.artifacts import Artifact
from prodml.compiler.spec import NodeSpec
from prodml.dsl.executor import ExecutorContext
from prodml.errors import ArtifactError, FencedError, MetadataUnavailableError, ProdmlError
from prodml.orchestration.code import executors
from prodml.orchestration.events.announcements import Announcements
from prodml.orchestration.launch import peak_memory
from prodml.orchestration.launch.failures import failure_message, was_interrupted
from prodml.orchestration.launch.recording import BegunAttempt, Recorder
from prodml.orchestration.launch.run_context import RunContext
from prodml.orchestration.publish import manifest, publication
from prodml.orchestration.publish.local_copies import local_copy
from prodml.orchestration.resolve.prepared_node import Prepared
from prodml.orchestration.results import NodeResult
from prodml.orchestration.settings import NodeLimits
from prodml.secrets import redact

Watch = Callable[[str], AbstractContextManager[None]]
"""A context manager that sends the output of a node to the given file."""


class AttemptFailedError(Exception):
    """An attempt failed because of `cause`; `result` is the node's result if it is not retried."""

    def __init__(self, cause: BaseException, result: NodeResult) -> None:
        super().__init__(result.message)
        self.cause = cause
        self.result = result


class Attempts:
    """Makes the attempts of one run.

    Args:
        lock: held while modules are imported.
    """

    def __init__(
        self,
        run: RunContext,
        recorder: Recorder,
        announcements: Announcements,
        lock: threading.RLock,
    ) -> None:
        self._run = run
        self._recorder = recorder
        self._announcements = announcements
        self._lock = lock

    def make(
        self, prepared: Prepared, number: int, watch: Watch
    ) -> tuple[NodeResult, dict[str, list[Artifact]]]:
        """Runs a node once.

        Returns:
            The result of the node, and its outputs.

        Raises:
            AttemptFailedError: the attempt failed; nothing is published.
            KeyboardInterrupt: the attempt was interrupted; nothing is published.
            MetadataUnavailableError: the end of the attempt cannot be recorded.
            FencedError: another process took over the run; nothing is published.
        """
        begun = self._recorder.begin(prepared, number)
        self._announcements.node_started(
            begun.node.id, begun.execution_id, number, prepared.reason, begun.log, prepared.inputs
        )
        staging = context = None
        try:
            for key, artifacts in prepared.inputs.items():
                refuse_damaged(key, artifacts)
            staging = publication.stage(
                self._run.pipeline_root,
                self._run.scratch_root,
                begun.node,
                begun.execution_id,
                begun.name,
            )
            context = self._context(prepared, staging)
            self._execute(begun, context, watch)
            publication.publish(staging)
            result = self._complete(begun, context, staging)
            return result, {key: [artifact] for key, artifact in staging.outputs.items()}
        except (MetadataUnavailableError, FencedError):
            raise
        except BaseException as error:
            if was_interrupted(error):
                self._recorder.cancel(begun, context)
                raise KeyboardInterrupt from error
            if not isinstance(error, Exception | SystemExit):
                raise
            message = failure_message(error, begun.log)
            failed = self._recorder.fail(begun, context, message)
            raise AttemptFailedError(error, failed) from error
        finally:
            if staging is not None:
                publication.discard(staging)

    def _execute(self, begun: BegunAttempt, context: ExecutorContext, watch: Watch) -> None:
        """Runs the executor and measures its memory."""
        node, log = begun.node, begun.log
        if begun.number > 1:
            with open(log, "a", encoding="utf-8") as file:
                file.write(f"--- attempt {begun.number}\n")
        limits = self._limits(node, context)
        if limits is not None:
            from prodml.orchestration.launch import node_process

            keras = self._run.keras.nodes.get(node.id, self._run.keras.process)
            node_process.execute(node, context, self._run.settings.runner, limits, log, keras)
            return
        with watch(log):
            try:
                # Two threads must not import at the same time: if packages have circular imports,
                # as in TensorFlow, one thread would get a partially initialized module.
                with self._lock:
                    execute = executors.load_executor(node)
                execute(context)
            except BaseException:
                print(redact(traceback.format_exc()), file=sys.stderr)
                raise
            finally:
                context.peak_memory = peak_memory.peak()

    def _complete(
        self, begun: BegunAttempt, context: ExecutorContext, staging: publication.Staging
    ) -> NodeResult:
        """Records the published outputs; removes them if that fails."""
        try:
            return self._recorder.complete(begun, context, staging.outputs)
        except MetadataUnavailableError:
            # The store may have recorded them. A resumed run reads the store and knows.
            raise
        except ProdmlError:
            publication.withdraw(list(staging.outputs.values()))
            raise

    def _limits(self, node: NodeSpec, context: ExecutorContext) -> NodeLimits | None:
        """The limits of the node's separate process; None if the node runs in this process."""
        limits = self._run.settings.limits.get(node.id)
        keras = self._run.keras.nodes.get(node.id)
        if limits is not None or keras is None:
            return limits
        with self._lock:
            is_available = keras_choice.is_available(keras)
        if is_available:
            return None
        context.note(
            f"ran in a separate process: tf.keras is {keras} for {node.id}, which is not possible "
            f"in the run's process; set the same keras everywhere to save an import of TensorFlow"
        )
        return NodeLimits()

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
            beam=self._run.settings.runner,
            reporter=_NodeReporter(node.id, self._announcements),
        )


def refuse_damaged(key: str, artifacts: Sequence[Artifact]) -> None:
    """Checks that the artifacts of an input are as they were published.

    Raises:
        ArtifactError: an artifact has changed; the message names its producer and the file.
    """
    for artifact in artifacts:
        if artifact.custom_properties.get("is_external"):
            continue
        damage = manifest.difference(artifact.uri)
        if damage is not None:
            producer = artifact.custom_properties.get("producer_component", "its producer")
            raise ArtifactError(
                f"input {key!r} (artifact {artifact.id}) is not what {producer} published: "
                f"{damage}; run the pipeline again to produce it again with {producer}"
            )


class _NodeReporter:
    def __init__(self, node_id: str, announcements: Announcements) -> None:
        self._node_id = node_id
        self._announcements = announcements

    def progress(self, done: int, total: int | None, unit: str) -> None:
        self._announcements.node_progress(self._node_id, done, total, unit)
