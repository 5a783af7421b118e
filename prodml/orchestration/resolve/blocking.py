"""Decides whether a node is skipped because other nodes failed or were skipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prodml.compiler.spec import NodeSpec
from prodml.orchestration.results import NodeResult, NodeState


@dataclass(frozen=True)
class Block:
    """Why a node is skipped.

    Attributes:
        reason: the reason, for messages.
        failed: ids of the failed nodes that caused it; empty if only conditions were not met.
    """

    reason: str
    failed: tuple[str, ...]


def blocked_by_upstream(node: NodeSpec, ended: Mapping[str, NodeResult]) -> Block | None:
    """Why the node has no inputs; None if all of its upstream nodes succeeded.

    Args:
        ended: results by node id, of all nodes that the node waits for.
    """
    missing = [ended[id] for id in node.upstream if not ended[id].state.is_success]
    if not missing:
        return None
    failed = {id for result in missing for id in _failed(result)}
    return Block(", ".join(map(_how_it_ended, missing)), tuple(sorted(failed)))


def blocked_by_others(node: NodeSpec, ended: Mapping[str, NodeResult]) -> Block | None:
    """Why the node must not run although it has its inputs; None if it may run.

    A guard whose condition was not met did not check anything, so it does not block the node.

    Args:
        ended: results by node id, of all nodes that the node waits for.
    """
    for guard in node.guards:
        if failed := _failed(ended[guard.node]):
            examples = f"{guard.producer}.{guard.output}"
            return Block(f"{_how_it_ended(ended[guard.node])}, and guards {examples}", failed)
    failed = tuple(id for id in node.rest_of_run if ended[id].state is NodeState.FAILED)
    if failed:
        return Block(f"{', '.join(failed)} failed in this run", failed)
    return None


def _failed(result: NodeResult) -> tuple[str, ...]:
    return (result.node_id,) if result.state is NodeState.FAILED else result.blocked_by


def _how_it_ended(result: NodeResult) -> str:
    if result.state is NodeState.FAILED:
        return f"{result.node_id} failed"
    because = f" because {', '.join(result.blocked_by)} failed" if result.blocked_by else ""
    return f"{result.node_id} was skipped{because}"
