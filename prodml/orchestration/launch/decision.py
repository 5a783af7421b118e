"""What a run does with a node, decided from records alone: reads nothing, writes nothing."""

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
        reason: for a person.
        failed: ids of the failed nodes behind it; empty if only a condition did not hold.
    """

    reason: str
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Adopt:
    """The node ended well before the run was resumed, and its outputs are used."""

    finished: CompletedNode


@dataclass(frozen=True)
class Search:
    """The node is a Resolver or an Importer: the store is searched for its outputs."""


@dataclass(frozen=True)
class Prepare:
    """The node's inputs are known: the cache is asked, and if it has no answer the node runs."""


Decision = Skip | Adopt | Search | Prepare


def decide(
    node: NodeSpec,
    ended: Mapping[str, NodeResult],
    produced: Mapping[str, Artifacts],
    finished: CompletedNode | None,
) -> Decision:
    """What a run does with a node when all that it waits for has ended.

    Args:
        ended: results by node id, of all that the node waits for.
        produced: outputs by node id, of its upstream.
        finished: how the node ended before the run was resumed, if that can be used.

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
    """How the node ended before the run was resumed; None if it did not end well, or if one of its
    upstream nodes was not adopted: its inputs may be others now."""
    if all(id in ended and _is_adopted(ended[id], history) for id in node.upstream):
        return history.completed.get(node.id)
    return None


def _is_adopted(result: NodeResult, history: RunHistory) -> bool:
    finished = history.completed.get(result.node_id)
    return finished is not None and finished.execution_id == result.execution_id
