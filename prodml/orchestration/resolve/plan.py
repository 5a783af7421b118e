"""Plans: what a run would do with each node, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from prodml.artifacts import Artifact
from prodml.compiler.spec import GuardSpec, NodeKind, NodeSpec, PipelineSpec
from prodml.errors import NodeError
from prodml.keras_choice import DEFAULT, KerasName
from prodml.metadata.reading import LineageReader
from prodml.orchestration.code.user_types import load_user_types
from prodml.orchestration.resolve.conditions import unmet_condition
from prodml.orchestration.resolve.prepared_node import Preparer


class Action(StrEnum):
    """What a run would do with a node."""

    CACHED = "cached"
    RUN = "run"
    FIND = "find"
    UNDECIDED = "undecided"
    SKIP = "skip"
    FAIL = "fail"


_PENDING = (Action.RUN, Action.UNDECIDED)


@dataclass(frozen=True)
class NodePlan:
    """What a run would do with one node.

    Attributes:
        reason: the reason for the action.
        is_failure: whether the node would fail, or be skipped because another node would fail.
    """

    node_id: str
    action: Action
    reason: str
    is_failure: bool = False


@dataclass(frozen=True)
class Plan:
    """What a run would do; nodes are in topological order."""

    pipeline: str
    nodes: tuple[NodePlan, ...]


def make_plan(
    spec: PipelineSpec, reader: LineageReader, use_cache: bool, keras: KerasName = DEFAULT
) -> Plan:
    """Plans a run without running or writing anything.

    Nodes downstream of a node that would run are undecided: their inputs do not exist yet, and they
    can still be cached if that node produces the same outputs as before.
    """
    load_user_types(spec)
    preparer = Preparer(spec, reader, use_cache, keras)
    produced: dict[str, Mapping[str, Sequence[Artifact]]] = {}
    plans: dict[str, NodePlan] = {}
    for node in spec.nodes:
        waiting = [id for id in node.upstream if id not in produced]
        if waiting:
            plans[node.id] = _downstream(node, waiting, plans)
            continue
        try:
            unmet = unmet_condition(node, produced)
            if unmet is not None:
                plans[node.id] = NodePlan(node.id, Action.SKIP, unmet)
                continue
            if (waits := _waiting_for_others(node, plans)) is not None:
                plans[node.id] = waits
                continue
            if node.kind is not NodeKind.EXECUTOR:
                produced[node.id] = found = preparer.find(node)
                uris = [a.uri for artifacts in found.values() for a in artifacts]
                reason = ", ".join(uris) or "none found"
                plans[node.id] = NodePlan(node.id, Action.FIND, reason)
                continue
            prepared = preparer.prepare(node, produced)
        except NodeError as error:
            plans[node.id] = NodePlan(node.id, Action.FAIL, str(error), is_failure=True)
            continue
        if prepared.hit is not None:
            produced[node.id] = prepared.hit.outputs
            plans[node.id] = NodePlan(node.id, Action.CACHED, prepared.reason)
        else:
            plans[node.id] = NodePlan(node.id, Action.RUN, prepared.reason)
    return Plan(spec.name, tuple(_with_guarded(plan, spec) for plan in plans.values()))


def _downstream(node: NodeSpec, waiting: Sequence[str], plans: Mapping[str, NodePlan]) -> NodePlan:
    """The plan of a node with an upstream node that would not succeed, or would have to run."""
    for action, reason in ((Action.FAIL, "would fail"), (Action.SKIP, "would be skipped")):
        blocking = [plans[id] for id in waiting if plans[id].action is action]
        if blocking:
            is_failure = any(plan.is_failure for plan in blocking)
            return NodePlan(node.id, Action.SKIP, f"{blocking[0].node_id} {reason}", is_failure)
    if (blocked := _blocked(node, plans)) is not None:
        return blocked
    reasons = [f"waits for {', '.join(waiting)}", *_pending_guards(node, plans)]
    if node.rest_of_run:
        reasons.append("runs only if nothing in the run fails")
    return NodePlan(node.id, Action.UNDECIDED, "; ".join(reasons))


def _waiting_for_others(node: NodeSpec, plans: Mapping[str, NodePlan]) -> NodePlan | None:
    """The plan of a node that has its inputs, but waits for other nodes; None if it can run."""
    if (blocked := _blocked(node, plans)) is not None:
        return blocked
    reasons = list(_pending_guards(node, plans))
    if any(plans[id].action in _PENDING for id in node.rest_of_run):
        reasons.append("waits for the rest of the run, and runs only if nothing in it fails")
    return NodePlan(node.id, Action.UNDECIDED, "; ".join(reasons)) if reasons else None


def _blocked(node: NodeSpec, plans: Mapping[str, NodePlan]) -> NodePlan | None:
    """The plan of a node that a guard, or a failure elsewhere in the run, would skip."""
    for guard in node.guards:
        if plans[guard.node].is_failure:
            reason = f"{guard.node} would fail or be skipped, and guards {_examples(guard)}"
            return NodePlan(node.id, Action.SKIP, reason, is_failure=True)
    failing = [id for id in node.rest_of_run if plans[id].action is Action.FAIL]
    if failing:
        return NodePlan(node.id, Action.SKIP, f"{failing[0]} would fail", is_failure=True)
    return None


def _pending_guards(node: NodeSpec, plans: Mapping[str, NodePlan]) -> Iterator[str]:
    for guard in node.guards:
        if plans[guard.node].action in _PENDING:
            yield f"waits for {guard.node}, which guards {_examples(guard)}"


def _with_guarded(plan: NodePlan, spec: PipelineSpec) -> NodePlan:
    """Adds to the plan of a guard what it guards; returns other plans unchanged."""
    guards = (guard for node in spec.nodes for guard in node.guards)
    guarded = sorted({_examples(guard) for guard in guards if guard.node == plan.node_id})
    if not guarded:
        return plan
    return dataclasses.replace(plan, reason=f"{plan.reason}; guards {', '.join(guarded)}")


def _examples(guard: GuardSpec) -> str:
    return f"{guard.producer}.{guard.output}"
