"""Main program of the separate process of a node.

`python -m prodml.orchestration.launch.node_main ORDER PROGRESS`: ORDER is the file that
`node_process` wrote; progress is written to the file descriptor PROGRESS.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from prodml import keras_choice
from prodml.artifacts import PropertyValue, artifact_from_document
from prodml.beam.profiles import RunnerProfile
from prodml.compiler.spec import NodeSpec, node_from_json
from prodml.dsl import references
from prodml.dsl.executor import ExecutorContext
from prodml.orchestration.code import executors
from prodml.orchestration.launch import peak_memory
from prodml.orchestration.launch.failures import failure_message
from prodml.orchestration.launch.output_capture import secrets_hidden
from prodml.orchestration.launch.retries import is_transient
from prodml.secrets import redact


def main(order_path: str, progress: int) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with open(order_path, encoding="utf-8") as file:
        order = json.load(file)
    sys.path[:] = order["sys_path"]
    node = node_from_json(order["node"])
    context = None
    answer: dict[str, Any]
    try:
        with secrets_hidden():
            context = _context(node, order, progress)
            executors.load_executor(node)(context)
        answer = {"outputs": _filled(context)}
    except (Exception, SystemExit) as error:
        print(redact(traceback.format_exc()), file=sys.stderr)
        answer = {
            "failure": {
                "message": failure_message(error, order["log"]),
                "is_transient": is_transient(error),
            }
        }
    answer |= {
        "notes": context.notes if context else [],
        "row_counts": [asdict(count) for count in context.row_counts] if context else [],
        "peak_memory": peak_memory.peak(),
    }
    # Renamed, so that the file is complete: a missing answer means that the process died.
    with open(f"{order['answer']}.tmp", "w", encoding="utf-8") as file:
        json.dump(answer, file)
    os.rename(f"{order['answer']}.tmp", order["answer"])


def _context(node: NodeSpec, order: Mapping[str, Any], progress: int) -> ExecutorContext:
    keras_choice.choose(order["keras"])
    # The node's module may declare artifact types of its own.
    references.load(node.component)
    return ExecutorContext(
        pipeline_name=order["pipeline_name"],
        run_id=order["run_id"],
        node_id=node.id,
        inputs={
            key: tuple(map(artifact_from_document, found)) for key, found in order["inputs"].items()
        },
        declared_inputs=frozenset(d.name for d in node.inputs if d.channels),
        outputs={key: artifact_from_document(made) for key, made in order["outputs"].items()},
        parameters=executors.parameters_of(node),
        resolved=order["resolved"],
        tmp_dir=order["tmp_dir"],
        beam=RunnerProfile(**order["beam"]),
        reporter=_PipeReporter(progress),
    )


def _filled(context: ExecutorContext) -> dict[str, Any]:
    return {
        key: {
            "properties": _without_secrets(made.properties),
            "custom_properties": _without_secrets(made.custom_properties),
        }
        for key, made in context.outputs.items()
    }


def _without_secrets(properties: Mapping[str, PropertyValue]) -> dict[str, PropertyValue]:
    """Redacts secrets here, because the parent process does not know which ones were revealed."""
    return {k: redact(v) if isinstance(v, str) else v for k, v in properties.items()}


class _PipeReporter:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def progress(self, done: int, total: int | None, unit: str) -> None:
        line = json.dumps({"done": done, "total": total, "unit": unit})
        os.write(self._descriptor, f"{line}\n".encode())


def _arguments(arguments: Sequence[str]) -> tuple[str, int]:
    order, progress = arguments
    return order, int(progress)


if __name__ == "__main__":
    main(*_arguments(sys.argv[1:]))
