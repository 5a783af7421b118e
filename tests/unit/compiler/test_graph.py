import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml import Channel, Component, Input, Output, Parameter, pipeline
from prodml.artifacts import Examples, ExampleStatistics, Schema
from prodml.compiler.compile import compile_pipeline
from prodml.compiler.graph import find_cycle, topological_order
from prodml.compiler.spec import ChannelSpec, PipelineSpec
from prodml.errors import DefinitionError


class Make(Component):
    number: Parameter[int] = 0
    examples: Output[Examples]


class Use(Component):
    examples: Input[Examples]
    schema: Input[Schema] | None = None
    statistics: Output[ExampleStatistics]


def compiled(body: Callable[[], None]) -> PipelineSpec:
    return compile_pipeline(pipeline(name="p")(body).build())


def test_nodes_come_after_their_upstream() -> None:
    def body() -> None:
        first = Make()
        second = Use(examples=first.outputs["examples"])
        first.add_upstream_node(Make().with_id("zero"))
        assert second.id == "Use"

    spec = compiled(body)
    assert [node.id for node in spec.nodes] == ["zero", "Make", "Use"]
    assert spec.node("Use").upstream == ("Make",)


def test_the_error_for_a_cycle_shows_its_path() -> None:
    def body() -> None:
        a = Make().with_id("a")
        b = Use(examples=a.outputs["examples"]).with_id("b")
        a.add_upstream_node(b)

    with pytest.raises(DefinitionError, match=r"test_graph\.py:\d+: .*cycle: a -> b -> a"):
        compiled(body)


def test_the_error_for_a_duplicate_node_id_names_both_lines() -> None:
    def body() -> None:
        Make()
        Make()

    with pytest.raises(
        DefinitionError,
        match=r"test_graph\.py:\d+: node id 'Make' is already used at .*graph\.py:\d+",
    ):
        compiled(body)


def test_a_node_id_that_would_leave_its_directory_is_refused() -> None:
    def body() -> None:
        Make().with_id("../escape")

    with pytest.raises(DefinitionError, match="letters, digits"):
        compiled(body)


def test_a_pipeline_without_components_is_refused() -> None:
    with pytest.raises(DefinitionError, match="has no components"):
        compiled(lambda: None)


def test_a_producer_outside_the_pipeline_is_refused() -> None:
    outside = Make()

    def body() -> None:
        Use(examples=outside.outputs["examples"])

    with pytest.raises(DefinitionError, match="is not part of pipeline 'p'"):
        compiled(body)


def test_only_a_resolver_accepts_a_channel_without_a_producer() -> None:
    def body() -> None:
        Use(examples=Channel(type=Examples))

    with pytest.raises(DefinitionError, match="or the outputs of a Resolver"):
        compiled(body)


class Find(Component):
    """Searches the store, as a Resolver does."""

    kind = "resolver"
    statistics: Input[ExampleStatistics]


def searching(**channel: Any) -> Callable[[], None]:
    def body() -> None:
        Use(examples=Make().outputs["examples"])
        Find(statistics=Channel(type=ExampleStatistics, **channel))

    return body


def test_a_resolvers_channel_keeps_its_producer_and_output() -> None:
    spec = compiled(searching(producer_component_id="Use", output_key="statistics"))
    [declared] = spec.node("Find").inputs
    assert declared.channels == (ChannelSpec("ExampleStatistics", "Use", "statistics"),)
    assert spec.node("Find").upstream == ()


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ({"producer_component_id": "Usr"}, "has no node 'Usr'; did you mean 'Use'"),
        ({"producer_component_id": "Make"}, "Make does not produce ExampleStatistics"),
        ({"producer_component_id": "Find"}, "Find does not produce ExampleStatistics"),
        (
            {"producer_component_id": "Use", "output_key": "statistic"},
            "Use has no output 'statistic' of type ExampleStatistics; did you mean 'statistics'",
        ),
        ({"output_key": "stats"}, "the pipeline has no output 'stats' of type ExampleStatistics"),
    ],
)
def test_a_search_that_can_never_find_anything_is_refused(channel: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=rf"test_graph\.py:\d+: Channel: .*{message}"):
        compiled(searching(**channel))


graphs = st.integers(1, 8).flatmap(
    lambda size: st.fixed_dictionaries(
        {
            str(i): st.lists(st.sampled_from([str(j) for j in range(size)]), max_size=3)
            for i in range(size)
        }
    )
)


@given(graphs)
def test_either_there_is_a_cycle_or_an_order(graph: dict[str, list[str]]) -> None:
    cycle = find_cycle(graph)
    if cycle is None:
        order = topological_order(graph)
        assert sorted(order) == sorted(graph)
        place = {node: i for i, node in enumerate(order)}
        assert all(place[up] < place[node] for node, ups in graph.items() for up in ups)
    else:
        assert cycle[0] == cycle[-1]
        assert all(before in graph[after] for before, after in itertools.pairwise(cycle))
