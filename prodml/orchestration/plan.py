"""Plans: what a run would do, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from prodml.artifacts import Artifact
from prodml.compiler.spec import NodeKind, PipelineSpec
from prodml.errors import NodeError
from prodml.metadata.reading import LineageReader
from prodml.orchestration.conditions import unmet_condition
from prodml.orchestration.prepare import Preparer


class Action(StrEnum):
    """What a run would do with a node."""

    CACHED = "cached"
    RUN = "run"
    FIND = "find"
    UNDECIDED = "undecided"
    SKIP = "skip"
    FAIL = "fail"


@dataclass(frozen=True)
class NodePlan:
    """What a run would do with one node; `reason` says why."""

    node_id: str
    action: Action
    reason: str


@dataclass(frozen=True)
class Plan:
    """What a run would do; nodes are in topological order."""

    pipeline: str
    nodes: tuple[NodePlan, ...]


def make_plan(spec: PipelineSpec, reader: LineageReader, use_cache: bool) -> Plan:
    """Walks a pipeline as a run would, without running or writing anything.

    Nodes behind a node that would run are undecided: their inputs do not exist yet, and they may
    still be cached if it makes the same as before.
    """
    preparer = Preparer(spec, reader, use_cache)
    produced: dict[str, Mapping[str, Sequence[Artifact]]] = {}
    plans: dict[str, NodePlan] = {}
    for node in spec.nodes:
        waiting = [id for id in node.upstream if id not in produced]
        if waiting:
            plans[node.id] = _behind(node.id, waiting, plans)
            continue
        try:
            unmet = unmet_condition(node, produced)
            if unmet is not None:
                plans[node.id] = NodePlan(node.id, Action.SKIP, unmet)
                continue
            if node.kind is not NodeKind.EXECUTOR:
                produced[node.id] = found = preparer.find(node)
                uris = [a.uri for artifacts in found.values() for a in artifacts]
                reason = ", ".join(uris) or "none found"
                plans[node.id] = NodePlan(node.id, Action.FIND, reason)
                continue
            prepared = preparer.prepare(node, produced)
        except NodeError as error:
            plans[node.id] = NodePlan(node.id, Action.FAIL, str(error))
            continue
        if prepared.hit is not None:
            produced[node.id] = prepared.hit.outputs
            plans[node.id] = NodePlan(node.id, Action.CACHED, prepared.reason)
        else:
            plans[node.id] = NodePlan(node.id, Action.RUN, prepared.reason)
    return Plan(spec.name, tuple(plans.values()))


def _behind(node_id: str, waiting: Sequence[str], plans: Mapping[str, NodePlan]) -> NodePlan:
    """The plan of a node whose upstream would not have ended well, or not yet."""
    for action, reason in ((Action.FAIL, "would fail"), (Action.SKIP, "would be skipped")):
        blocking = [id for id in waiting if plans[id].action is action]
        if blocking:
            return NodePlan(node_id, Action.SKIP, f"{blocking[0]} {reason}")
    return NodePlan(node_id, Action.UNDECIDED, f"waits for {', '.join(waiting)}")
