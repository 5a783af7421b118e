"""Reads the history of a run that is resumed: its completed nodes, and attempts by node."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prodml.metadata.reading import LineageReader
from prodml.metadata.records import ExecutionRecord, State
from prodml.orchestration.resolve.cache import outputs_of


@dataclass(frozen=True)
class CompletedNode:
    """A node that completed before its run was resumed.

    Attributes:
        outputs: ids of its live artifacts by output key.
    """

    execution_id: int
    outputs: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class RunHistory:
    """What a run did before it was resumed; empty for a new run.

    Attributes:
        completed: completed nodes by node id.
        attempts: number of executions by node id, in any state.
    """

    completed: Mapping[str, CompletedNode] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)


def run_history(reader: LineageReader, executions: Sequence[ExecutionRecord]) -> RunHistory:
    """The history of a run, from its executions.

    Args:
        executions: all executions of the run, oldest first.
    """
    completed = {e.node_id: e for e in executions if e.state in (State.COMPLETE, State.CACHED)}
    return RunHistory(
        {node: _completed_node(reader, execution) for node, execution in completed.items()},
        Counter(e.node_id for e in executions),
    )


def _completed_node(reader: LineageReader, execution: ExecutionRecord) -> CompletedNode:
    outputs = outputs_of(reader, execution.id)
    return CompletedNode(
        execution.id,
        {key: tuple(artifact.id for artifact in found) for key, found in outputs.items()},
        tuple(json.loads(str(execution.properties.get("notes", "[]")))),
        float(execution.properties.get("seconds", 0.0)),
    )
