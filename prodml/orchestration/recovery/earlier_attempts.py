"""What earlier attempts of a run left: nodes that had ended well, and how often each was tried."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prodml.metadata.reading import LineageReader
from prodml.metadata.records import ExecutionRecord, State
from prodml.orchestration.resolve.cache import outputs_of


@dataclass(frozen=True)
class FinishedNode:
    """A node that ended well before its run was resumed.

    Attributes:
        outputs: ids of its live artifacts by output key.
    """

    execution_id: int
    outputs: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class History:
    """What a run did before it was resumed; empty for a new run.

    Attributes:
        finished: by node id.
        attempts: executions by node id, however they ended.
    """

    finished: Mapping[str, FinishedNode] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)


def history(reader: LineageReader, executions: Sequence[ExecutionRecord]) -> History:
    """The history that the executions of a run, oldest first, tell."""
    ended_well = {e.node_id: e for e in executions if e.state in (State.COMPLETE, State.CACHED)}
    return History(
        {node: _finished(reader, execution) for node, execution in ended_well.items()},
        Counter(e.node_id for e in executions),
    )


def _finished(reader: LineageReader, execution: ExecutionRecord) -> FinishedNode:
    outputs = outputs_of(reader, execution.id)
    return FinishedNode(
        execution.id,
        {key: tuple(artifact.id for artifact in found) for key, found in outputs.items()},
        tuple(json.loads(str(execution.properties.get("notes", "[]")))),
        float(execution.properties.get("seconds", 0.0)),
    )
