"""The lineage of an artifact: executions that led to it, and executions that used it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prodml.errors import NotFoundError
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import ExecutionRecord, Link
from prodml.views.runs import ArtifactView, artifact_views


@dataclass(frozen=True)
class Step:
    """An execution in the lineage; `inputs` and `outputs` are sorted artifact ids."""

    execution_id: int
    node_id: str
    run_id: str
    state: str
    inputs: list[int]
    outputs: list[int]


@dataclass(frozen=True)
class LineageView:
    """An artifact, everything upstream of it, and everything downstream.

    `upstream` and `downstream` are in order of execution; `artifacts` are all artifacts that they
    refer to.
    """

    artifact: ArtifactView
    upstream: list[Step]
    downstream: list[Step]
    artifacts: list[ArtifactView]


def lineage_of(reader: LineageReader, artifact_id: int) -> LineageView:
    """Returns the lineage of an artifact, with a constant number of queries per level.

    Raises:
        NotFoundError: the artifact does not exist.
    """
    found = artifact_views(reader.artifacts([artifact_id]))
    if not found:
        raise NotFoundError(f"there is no artifact {artifact_id}; `prodml artifacts` lists them")
    upstream, above = _walk(reader, artifact_id, toward_outputs=False)
    downstream, below = _walk(reader, artifact_id, toward_outputs=True)
    return LineageView(
        found[0], upstream, downstream, artifact_views(reader.artifacts(above | below))
    )


def _walk(
    reader: LineageReader, artifact_id: int, toward_outputs: bool
) -> tuple[list[Step], set[int]]:
    """Collects the executions upstream or downstream of an artifact, and the artifacts met."""
    frontier, seen, steps = {artifact_id}, {artifact_id}, dict[int, Step]()
    while frontier:
        found = {
            link.execution_id
            for link in reader.links_of_artifacts(frontier)
            if link.is_output is not toward_outputs
        } - steps.keys()
        links = reader.links_of_executions(found)
        # A cached execution links to the outputs of the execution that produced them, which is
        # enough.
        executions = [e for e in reader.executions(found) if e.state != "CACHED"] if found else []
        steps |= {e.id: _step(e, links) for e in executions}
        linked = [id for e in executions for id in _next(steps[e.id], toward_outputs)]
        frontier = set(linked) - seen
        seen |= frontier
    return sorted(steps.values(), key=lambda step: step.execution_id), seen


def _next(step: Step, toward_outputs: bool) -> list[int]:
    return step.outputs if toward_outputs else step.inputs


def _step(execution: ExecutionRecord, links: Iterable[Link]) -> Step:
    own = [link for link in links if link.execution_id == execution.id]
    return Step(
        execution_id=execution.id,
        node_id=execution.node_id,
        run_id=str(execution.properties.get("run_id", "")),
        state=execution.state,
        inputs=sorted({link.artifact_id for link in own if not link.is_output}),
        outputs=sorted({link.artifact_id for link in own if link.is_output}),
    )
