"""Decides from records alone what a run does with a node; reads and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prodml.compiler.spec import NodeKind, NodeSpec
from prodml.orchestration.recovery.earlier_attempts import CompletedNode, RunHistory
from prodml.orchestration.resolve.blocking import blocked_by_others, blocked_by_upstream
from prodml.orchestration.resolve.conditions import unmet_condition
from prodml.orchestration.resolve.inputs import Artifacts
from prodml.orchestration.results import NodeResult


@dataclass(frozen=True)
class Skip:
    """The node does not run.

    Attributes:
        reason: the reason, for messages.
        failed: ids of the failed nodes that caused it; empty if only a condition was not met.
    """

    reason: str
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Adopt:
    """The node completed before the run was resumed, and its outputs are used."""

    finished: CompletedNode


@dataclass(frozen=True)
class Search:
    """The node is a Resolver or an Importer: the store is searched for its outputs."""


@dataclass(frozen=True)
class Prepare:
    """The node's inputs are known: the cache is looked up, and on a miss the node runs."""


Decision = Skip | Adopt | Search | Prepare


def decide(
    node: NodeSpec,
    ended: Mapping[str, NodeResult],
    produced: Mapping[str, Artifacts],
    finished: CompletedNode | None,
) -> Decision:
    """Decides what a run does with a node when all nodes that it waits for have ended.

    Args:
        ended: results by node id, of all nodes that the node waits for.
        produced: outputs by node id, of the upstream nodes.
        finished: the node's result from before the run was resumed, if it can be used.

    Raises:
        ResolutionError: a condition cannot be evaluated.
    """
    if (block := blocked_by_upstream(node, ended)) is not None:
        return Skip(block.reason, block.failed)
    if (unmet := unmet_condition(node, produced)) is not None:
        return Skip(unmet)
    if (block := blocked_by_others(node, ended)) is not None:
        return Skip(block.reason, block.failed)
    if finished is not None:
        return Adopt(finished)
    return Prepare() if node.kind is NodeKind.EXECUTOR else Search()


def adoptable(
    node: NodeSpec, ended: Mapping[str, NodeResult], history: RunHistory
) -> CompletedNode | None:
    """The node's result from before the run was resumed, if it can be used.

    None if the node did not complete, or if an upstream node was not adopted, because the node's
    inputs may be different now.
    """
    if all(id in ended and _is_adopted(ended[id], history) for id in node.upstream):
        return history.completed.get(node.id)
    return None


def _is_adopted(result: NodeResult, history: RunHistory) -> bool:
    finished = history.completed.get(result.node_id)
    return finished is not None and finished.execution_id == result.execution_id
