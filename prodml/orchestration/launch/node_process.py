"""Runs an executor in a separate process, which is stopped if it exceeds its limits.

Input and output of the process are JSON files in the node's scratch directory.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any

from prodml.artifacts import artifact_to_document
from prodml.beam.profiles import RunnerProfile
from prodml.compiler.spec import NodeSpec
from prodml.dsl.executor import ExecutorContext, Reporter, RowCount
from prodml.errors import LimitError, NodeError, WorkerLostError
from prodml.keras_choice import KerasName
from prodml.orchestration.settings import NodeLimits
from prodml.processes.watched_process import WatchedProcess, describe_exit, megabytes

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 5.0


def execute(
    node: NodeSpec,
    context: ExecutorContext,
    beam: RunnerProfile,
    limits: NodeLimits,
    log: str,
    keras: KerasName,
) -> None:
    """Runs a node's executor to its end, in another process.

    All progress of the executor is reported before this returns or raises.

    Args:
        context: receives the outputs, notes and row counts that the executor set, and the
            `peak_memory` of the process; if the executor failed, all but the outputs.
        log: file for the output of the process.
        keras: what `tf.keras` means in the process.

    Raises:
        LimitError: the process exceeded its time or memory; it and its children were stopped.
        WorkerLostError: the process died.
        NodeError: the executor failed; its cause is a ConnectionError if a retry may succeed.
    """
    order = os.path.join(context.tmp_dir, "order.json")
    answer = os.path.join(context.tmp_dir, "answer.json")
    with open(order, "w", encoding="utf-8") as file:
        json.dump({**_order(node, context, beam, answer, log), "keras": keras}, file)
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(open(log, "ab"))
        reading, writing = os.pipe()
        progress = stack.enter_context(os.fdopen(reading, encoding="utf-8"))
        node_main = [sys.executable, "-m", "prodml.orchestration.launch.node_main"]
        try:
            process = WatchedProcess(
                [*node_main, order, str(writing)],
                output,
                memory_limit_bytes=limits.memory,
                pass_fds=[writing],
            )
        finally:
            os.close(writing)
        reporting = threading.Thread(target=_report, args=(progress, context.reporter), daemon=True)
        reporting.start()
        try:
            _wait(process, node, limits, log, answer)
        finally:
            process.stop(_GRACE_SECONDS)
            context.peak_memory = process.bytes_over_limit
            # The thread ends when the last process closes the pipe. The wait is bounded, because a
            # process that hangs in the kernel cannot be killed.
            reporting.join(_GRACE_SECONDS)
    _read_answer(answer, context)


def _wait(
    process: WatchedProcess, node: NodeSpec, limits: NodeLimits, log: str, answer: str
) -> None:
    """Waits until the process has written its answer and ended."""
    until = time.monotonic() + (limits.timeout_seconds or float("inf"))
    # In short steps, because an interrupt does not reach a thread that waits in the kernel.
    while (code := process.wait(min(_POLL_SECONDS, max(0.0, until - time.monotonic())))) is None:
        if time.monotonic() >= until:
            raise LimitError(
                f"it was stopped after {limits.timeout_seconds:g} s, the limit "
                f"nodes.{node.id}.timeout_seconds; its output is in {log}"
            )
    if process.bytes_over_limit:
        raise LimitError(
            f"it was stopped at {megabytes(process.bytes_over_limit)} of memory, the limit "
            f"nodes.{node.id}.memory is {megabytes(limits.memory or 0)}; its output is in "
            f"{log}"
        )
    if not os.path.exists(answer):
        raise WorkerLostError(f"its process {describe_exit(code)}; its output is in {log}")


def _order(
    node: NodeSpec, context: ExecutorContext, beam: RunnerProfile, answer: str, log: str
) -> dict[str, Any]:
    return {
        "node": asdict(node),
        # The process imports modules from the same directories as this one.
        "sys_path": sys.path,
        "pipeline_name": context.pipeline_name,
        "run_id": context.run_id,
        "inputs": {
            key: [artifact_to_document(each) for each in found]
            for key, found in context.inputs.items()
        },
        "outputs": {key: artifact_to_document(made) for key, made in context.outputs.items()},
        "resolved": context.resolved,
        "tmp_dir": context.tmp_dir,
        "beam": asdict(beam),
        "answer": answer,
        "log": log,
    }


def _read_answer(path: str, context: ExecutorContext) -> None:
    with open(path, encoding="utf-8") as file:
        answer: Mapping[str, Any] = json.load(file)
    context.notes.extend(answer["notes"])
    context.row_counts.extend(RowCount(**count) for count in answer["row_counts"])
    context.peak_memory = answer["peak_memory"]
    failure = answer.get("failure")
    if failure is not None:
        error = NodeError(failure["message"])
        raise error from (ConnectionError() if failure["is_transient"] else None)
    for key, made in answer["outputs"].items():
        context.outputs[key].properties.update(made["properties"])
        context.outputs[key].custom_properties.update(made["custom_properties"])


def _report(progress: IO[str], reporter: Reporter) -> None:
    for line in progress:
        reporter.progress(**json.loads(line))
