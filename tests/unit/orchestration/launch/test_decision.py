"""Decisions about a node, for all possible results of the nodes that it waits for."""

from hypothesis import given
from hypothesis import strategies as st

from prodml.artifacts import Model
from prodml.compiler.spec import (
    ChannelSpec,
    ConditionSpec,
    GuardSpec,
    InputSpec,
    NodeKind,
    NodeSpec,
)
from prodml.orchestration.launch.decision import Adopt, Prepare, Search, Skip, adoptable, decide
from prodml.orchestration.recovery.earlier_attempts import CompletedNode, RunHistory
from prodml.orchestration.results import NodeResult, NodeState

IDS = ("Upstream", "Other", "Guard", "Rest")


def results(node_id: str) -> st.SearchStrategy[NodeResult]:
    """Any way in which a node can end; only a skipped one has failed nodes behind it."""
    ran = st.sampled_from([NodeState.COMPLETE, NodeState.CACHED, NodeState.FAILED])
    behind = st.sampled_from([(), ("Broken",), ("Broken", "Worse")])
    return st.one_of(
        ran.map(lambda state: NodeResult(node_id, state, execution_id=IDS.index(node_id) + 1)),
        behind.map(lambda ids: NodeResult(node_id, NodeState.SKIPPED, blocked_by=ids)),
    )


ENDED = st.fixed_dictionaries({id: results(id) for id in IDS})
FINISHED = st.none() | st.just(CompletedNode(9, {"model": (1,)}))
NODES = st.builds(
    lambda kind, upstream, has_guard, has_rest, has_condition: NodeSpec(
        id="Node",
        kind=kind,
        component="a:B",
        execution_type="a.B",
        inputs=(InputSpec("model", "Model", True, (ChannelSpec("Model", "Upstream", "model"),)),),
        outputs=(),
        parameters=(),
        conditions=(
            (ConditionSpec("Upstream", "model", 0, "property", "version", "==", 1),)
            if has_condition
            else ()
        ),
        upstream=upstream,
        is_cached=True,
        location="p.py:1",
        guards=(GuardSpec("Guard", "Upstream", "examples"),) if has_guard else (),
        rest_of_run=("Rest",) if has_rest else (),
    ),
    st.sampled_from(NodeKind),
    st.sampled_from([("Upstream",), ("Other", "Upstream")]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
VERSIONS = st.sampled_from([1, 2])


def produced(version: int) -> dict[str, dict[str, list[Model]]]:
    return {"Upstream": {"model": [Model(properties={"version": version})]}, "Other": {}}


@given(NODES, ENDED, VERSIONS, FINISHED)
def test_a_node_is_skipped_exactly_if_a_node_that_it_waits_for_blocks_it(
    node: NodeSpec, ended: dict[str, NodeResult], version: int, finished: CompletedNode | None
) -> None:
    decision = decide(node, ended, produced(version), finished)
    guard_failed = ended["Guard"].state is NodeState.FAILED or bool(ended["Guard"].blocked_by)
    is_blocked = (
        not all(ended[id].state.is_success for id in node.upstream)
        or (bool(node.conditions) and version != 1)
        or (bool(node.guards) and guard_failed)
        or (bool(node.rest_of_run) and ended["Rest"].state is NodeState.FAILED)
    )
    assert isinstance(decision, Skip) is is_blocked


@given(NODES, ENDED, VERSIONS, FINISHED)
def test_a_skip_names_failed_nodes_only_and_any_that_are_behind_its_upstream(
    node: NodeSpec, ended: dict[str, NodeResult], version: int, finished: CompletedNode | None
) -> None:
    decision = decide(node, ended, produced(version), finished)
    if not isinstance(decision, Skip):
        return
    failed = {id for id, result in ended.items() if result.state is NodeState.FAILED}
    behind = {id for result in ended.values() for id in result.blocked_by}
    assert set(decision.failed) <= failed | behind
    assert set(decision.failed) >= failed & set(node.upstream)
    assert decision.reason


@given(NODES, ENDED, VERSIONS, FINISHED)
def test_a_node_that_is_not_skipped_is_adopted_if_possible(
    node: NodeSpec, ended: dict[str, NodeResult], version: int, finished: CompletedNode | None
) -> None:
    decision = decide(node, ended, produced(version), finished)
    if isinstance(decision, Skip):
        return
    if finished is not None:
        assert decision == Adopt(finished)
    else:
        assert isinstance(decision, Prepare if node.kind is NodeKind.EXECUTOR else Search)


@given(NODES, ENDED, st.sets(st.sampled_from([*IDS, "Node"])), st.booleans())
def test_a_node_is_adopted_only_with_all_of_its_upstream(
    node: NodeSpec, ended: dict[str, NodeResult], finished: set[str], is_same: bool
) -> None:
    shift = 0 if is_same else 100
    history = RunHistory(
        {id: CompletedNode(IDS.index(id) + 1 + shift if id in IDS else 9, {}) for id in finished}
    )
    adopted = {id for id in node.upstream if is_same and id in finished and ended[id].execution_id}
    expected = "Node" in finished and adopted == set(node.upstream)
    assert (adoptable(node, ended, history) is not None) is expected
