"""Finds the nodes that wait for guards, and those that wait for the rest of the run."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml import Component, Cond, Input, Output, Parameter, pipeline
from prodml.artifacts import Examples, ExampleStatistics, Model, Schema
from prodml.compiler.compile import compile_pipeline
from prodml.compiler.spec import GuardSpec, PipelineSpec
from prodml.components import (
    ExampleValidator,
    Importer,
    LatestArtifactStrategy,
    PushDestination,
    Pusher,
    Resolver,
)
from prodml.dsl.channel import Channel
from prodml.errors import DefinitionError


class Ingest(Component):
    examples: Output[Examples]


class Count(Component):
    examples: Input[Examples]
    statistics: Output[ExampleStatistics]


class Infer(Component):
    statistics: Input[ExampleStatistics]
    schema: Output[Schema]


class Check(Component):
    """Judges the examples that it reads itself."""

    judges = ("examples",)
    examples: Input[Examples]
    report: Output[Schema]


class Convert(Component):
    examples: Input[Examples]
    schema: Input[Schema] | None = None
    converted: Output[Examples]


class Train(Component):
    examples: Input[Examples]
    model: Output[Model]


class Push(Component):
    needs_clean_run = True
    model: Input[Model]
    pushed: Output[Schema]


class Announce(Component):
    pushed: Input[Schema]
    number: Parameter[int] = 0


def compiled(body: Callable[[], None]) -> PipelineSpec:
    return compile_pipeline(pipeline(name="p")(body).build())


def waiting_nodes(spec: PipelineSpec) -> dict[str, set[str]]:
    """Returns, by guard, the nodes that wait for it."""
    found: dict[str, set[str]] = {}
    for node in spec.nodes:
        for guard in node.guards:
            found.setdefault(guard.node, set()).add(node.id)
    return found


def validated(examples: Channel, fail_on: str | None = "ERROR") -> None:
    statistics = Count(examples=examples).outputs["statistics"]
    schema = Infer(statistics=statistics).outputs["schema"]
    ExampleValidator(statistics=statistics, schema=schema, fail_on=fail_on)
    converted = Convert(examples=examples, schema=schema).outputs["converted"]
    Train(examples=converted)


def test_consumers_of_the_examples_wait_for_the_validator_of_their_statistics() -> None:
    spec = compiled(lambda: validated(Ingest().outputs["examples"]))
    convert = spec.node("Convert")
    assert convert.guards == (GuardSpec("ExampleValidator", "Ingest", "examples"),)
    assert convert.upstream == ("Infer", "Ingest")
    assert convert.waits_for == ("ExampleValidator", "Infer", "Ingest")
    ids = [node.id for node in spec.nodes]
    assert ids.index("ExampleValidator") < ids.index("Convert")


def test_nodes_that_the_validator_depends_on_do_not_wait_for_it() -> None:
    spec = compiled(lambda: validated(Ingest().outputs["examples"]))
    assert waiting_nodes(spec) == {"ExampleValidator": {"Convert"}}


def test_a_validator_that_never_fails_is_not_a_guard() -> None:
    spec = compiled(lambda: validated(Ingest().outputs["examples"], fail_on=None))
    assert waiting_nodes(spec) == {}


def test_a_node_can_opt_out() -> None:
    def body() -> None:
        examples = Ingest().outputs["examples"]
        validated(examples)
        Train(examples=examples).with_id("unguarded").without_guards()

    assert waiting_nodes(compiled(body)) == {"ExampleValidator": {"Convert"}}


def test_imported_examples_are_guarded() -> None:
    def body() -> None:
        imported = Importer(source_uri="there", artifact_type=Examples)
        validated(imported.outputs["result"])

    [guard] = compiled(body).node("Convert").guards
    assert guard == GuardSpec("ExampleValidator", "Importer", "result")


def test_examples_found_by_a_resolver_are_guarded() -> None:
    def body() -> None:
        Ingest()
        found = Resolver(strategy_class=LatestArtifactStrategy, examples=Channel(type=Examples))
        validated(found.outputs["examples"])

    [guard] = compiled(body).node("Convert").guards
    assert guard == GuardSpec("ExampleValidator", "Resolver", "examples")


def test_only_the_examples_that_were_judged_are_guarded() -> None:
    def body() -> None:
        train, test = (Ingest().with_id(name).outputs["examples"] for name in ("train", "test"))
        validated(train)
        Train(examples=test).with_id("on_test")

    assert waiting_nodes(compiled(body)) == {"ExampleValidator": {"Convert"}}


def test_statistics_over_several_examples_judge_each_of_them() -> None:
    def body() -> None:
        one, two = (Ingest().with_id(name).outputs["examples"] for name in ("one", "two"))
        statistics = Count(examples=[one, two]).outputs["statistics"]
        schema = Infer(statistics=statistics).outputs["schema"]
        ExampleValidator(statistics=statistics, schema=schema, fail_on="WARNING")
        Train(examples=two)

    assert waiting_nodes(compiled(body)) == {"ExampleValidator": {"Train"}}


def test_a_users_component_can_be_a_guard() -> None:
    def body() -> None:
        examples = Ingest().outputs["examples"]
        Check(examples=examples)
        Train(examples=examples)

    assert waiting_nodes(compiled(body)) == {"Check": {"Train"}}


def test_several_guards_of_the_same_examples_do_not_wait_for_each_other() -> None:
    def body() -> None:
        examples = Ingest().outputs["examples"]
        Check(examples=examples).with_id("one")
        Check(examples=examples).with_id("two")
        Train(examples=examples)

    assert waiting_nodes(compiled(body)) == {"one": {"Train"}, "two": {"Train"}}


def test_two_validators_with_their_own_statistics_form_no_cycle() -> None:
    def body() -> None:
        examples = Ingest().outputs["examples"]
        for name in ("one", "two"):
            statistics = Count(examples=examples).with_id(f"count_{name}").outputs["statistics"]
            schema = Infer(statistics=statistics).with_id(f"infer_{name}").outputs["schema"]
            ExampleValidator(statistics=statistics, schema=schema, fail_on="ERROR").with_id(name)
        Train(examples=examples)

    assert waiting_nodes(compiled(body)) == {"one": {"Train"}, "two": {"Train"}}


def test_a_guard_does_not_block_a_consumer_that_it_depends_on() -> None:
    def body() -> None:
        examples = Ingest().outputs["examples"]
        late = Check(examples=examples)
        late.add_upstream_node(Train(examples=examples).with_id("first"))
        Train(examples=examples).with_id("second")

    assert waiting_nodes(compiled(body)) == {"Check": {"second"}}


def test_a_judged_input_that_is_not_declared_is_refused() -> None:
    class Misspelt(Check):
        judges = ("exmples",)

    def body() -> None:
        Misspelt(examples=Ingest().outputs["examples"])

    with pytest.raises(DefinitionError, match="names 'exmples'.*did you mean 'examples'"):
        compiled(body)


def test_a_node_that_needs_a_clean_run_waits_for_all_nodes_that_do_not_depend_on_it() -> None:
    def body() -> None:
        examples = Ingest().outputs["examples"]
        push = Push(model=Train(examples=examples).outputs["model"])
        Announce(pushed=push.outputs["pushed"])
        Count(examples=examples)

    spec = compiled(body)
    assert spec.node("Push").rest_of_run == ("Count", "Ingest", "Train")
    assert [node.id for node in spec.nodes][-2:] == ["Push", "Announce"]
    assert spec.node("Announce").rest_of_run == ()


def test_of_two_nodes_that_need_a_clean_run_the_later_waits() -> None:
    def body() -> None:
        model = Train(examples=Ingest().outputs["examples"]).outputs["model"]
        for name in ("here", "there"):
            push = Push(model=model).with_id(name)
            Announce(pushed=push.outputs["pushed"]).with_id(f"announce_{name}")

    spec = compiled(body)
    assert spec.node("here").rest_of_run == ("Ingest", "Train")
    assert spec.node("there").rest_of_run == ("Ingest", "Train", "announce_here", "here")


@pytest.mark.parametrize("push_after_failures", [False, True])
def test_a_pusher_waits_for_the_rest_of_the_run_unless_it_pushes_after_failures(
    push_after_failures: bool,
) -> None:
    def body() -> None:
        examples = Ingest().outputs["examples"]
        Pusher(
            model=Train(examples=examples).outputs["model"],
            push_destination=PushDestination(PushDestination.Filesystem("serving")),
            push_after_failures=push_after_failures,
        )
        Count(examples=examples)

    rest = () if push_after_failures else ("Count", "Ingest", "Train")
    assert compiled(body).node("Pusher").rest_of_run == rest


def test_a_guard_may_be_conditional() -> None:
    def body() -> None:
        examples = Ingest().outputs["examples"]
        with Cond(examples.future()[0].property("span") >= 2):
            Check(examples=examples)
        Train(examples=examples)

    assert waiting_nodes(compiled(body)) == {"Check": {"Train"}}


@given(
    st.lists(
        st.tuples(st.sampled_from([Check, Convert, Train]), st.integers(0, 9), st.integers(0, 9)),
        max_size=8,
    )
)
def test_there_is_always_an_order(nodes: list[tuple[type[Component], int, int]]) -> None:
    def body() -> None:
        made: list[Component] = [Ingest()]
        for number, (kind, source, before) in enumerate(nodes):
            examples = [c for c in made if isinstance(c, Ingest | Convert)]
            producer = examples[source % len(examples)]
            key = "examples" if isinstance(producer, Ingest) else "converted"
            node = kind(examples=producer.outputs[key]).with_id(f"n{number}")
            node.add_upstream_node(made[before % len(made)])
            if isinstance(node, Train):
                made.append(Push(model=node.outputs["model"]).with_id(f"push{number}"))
            made.append(node)

    done: set[str] = set()
    for node in compiled(body).nodes:
        assert done.issuperset(node.waits_for)
        done.add(node.id)
