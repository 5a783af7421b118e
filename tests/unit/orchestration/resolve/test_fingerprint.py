import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strategies import json_values, names

from prodml.artifacts import Artifact, Model, ModelBlessing, PushedModel, Schema
from prodml.compiler.spec import NodeKind, NodeSpec, ParameterSpec, WatchedSpec
from prodml.dsl.executor import DriverResult
from prodml.errors import UserCodeError
from prodml.orchestration.resolve.fingerprint import Fingerprint, explain_difference, fingerprint

NODE = NodeSpec(
    id="node",
    kind=NodeKind.EXECUTOR,
    component="prodml.components.pusher.component:Pusher",
    execution_type="Type",
    inputs=(),
    outputs=(),
    parameters=(),
    conditions=(),
    upstream=(),
    is_cached=True,
    location="pipeline.py:1",
)


def node_with(values: dict[str, Any], watched: str | None = None) -> NodeSpec:
    marks = (WatchedSpec("", watched),) if watched else ()
    parameters = tuple(ParameterSpec(name, value, marks) for name, value in values.items())
    return dataclasses.replace(NODE, parameters=parameters)


def of(node: NodeSpec, model: str = "m", driver: DriverResult | None = None) -> Fingerprint:
    inputs = {"model": [Model(uri="/x", custom_properties={"digest": model})]}
    return fingerprint("p", node, inputs, driver, frozenset())


values = st.dictionaries(names, json_values, max_size=4)


@given(values)
def test_the_order_of_parameters_does_not_count(given_values: dict[str, Any]) -> None:
    backwards = dict(reversed(given_values.items()))
    assert of(node_with(given_values)).key == of(node_with(backwards)).key


@given(values, names, json_values, json_values)
def test_another_value_of_any_parameter_gives_another_key(
    given_values: dict[str, Any], name: str, one: Any, two: Any
) -> None:
    first, second = (of(node_with({**given_values, name: value})) for value in (one, two))
    same = repr(one) == repr(two)
    assert (first.key == second.key) or not same
    if first.key != second.key:
        assert name in explain_difference(first.parts, second.parts)


@given(st.text(max_size=8), st.text(max_size=8))
def test_inputs_count_by_content_and_not_by_place(one: str, two: str) -> None:
    assert (of(NODE, one).key == of(NODE, two).key) == (one == two)


def test_properties_of_inputs_count() -> None:
    plain, spanned = Schema(uri="/s"), Schema(uri="/s", properties={"span": 2})
    keys = {fingerprint("p", NODE, {"s": [a]}, None, frozenset()).key for a in (plain, spanned)}
    assert len(keys) == 2


def test_the_pipeline_and_the_node_count() -> None:
    other = dataclasses.replace(NODE, id="other")
    assert fingerprint("p", NODE, {}, None, frozenset()).key != (
        fingerprint("q", NODE, {}, None, frozenset()).key
    )
    assert of(NODE).key != of(other).key


def test_a_new_span_is_the_reason() -> None:
    march = of(NODE, driver=DriverResult("a", "span 3, 1 file, 2.0 MB", {}))
    april = of(NODE, driver=DriverResult("b", "span 4, 1 file, 2.1 MB", {}))
    assert explain_difference(march.parts, april.parts) == "new data: span 4, 1 file, 2.1 MB"


def test_a_changed_helper_of_the_user_module_is_named(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text("SCALE = 1\n")
    module = tmp_path / "module.py"
    module.write_text("from features import SCALE\n")
    node = node_with({"module_file": str(module)}, watched="module")
    before = of(node)
    (tmp_path / "features.py").write_text("SCALE = 2\n")
    after = of(node)
    assert before.key != after.key
    assert explain_difference(before.parts, after.parts) == "features.py changed"


def test_the_content_of_a_named_file_counts(tmp_path: Path) -> None:
    file = tmp_path / "schema.pbtxt"
    file.write_text("a")
    node = node_with({"schema_file": str(file)}, watched="file")
    before = of(node)
    file.write_text("b")
    assert explain_difference(before.parts, of(node).parts) == "file schema_file changed"


def test_a_file_that_does_not_exist_names_the_authors_line() -> None:
    node = node_with({"schema_file": "/no/such"}, watched="file")
    with pytest.raises(UserCodeError, match=r"does not exist \(declared at pipeline\.py:1\)"):
        of(node)


def test_inputs_that_a_resolver_found_are_left_out_of_the_key_without_resolved() -> None:
    def with_baseline(digest: str) -> Fingerprint:
        model = Model(uri="/m", custom_properties={"digest": "m"})
        baseline = Model(uri="/b", custom_properties={"digest": digest})
        inputs = {"model": [model], "baseline_model": [baseline]}
        return fingerprint("p", NODE, inputs, None, frozenset({"baseline_model"}))

    one, two = with_baseline("1"), with_baseline("2")
    assert one.key != two.key
    assert one.key_without_resolved == two.key_without_resolved
    assert of(NODE).key_without_resolved is None


def of_input(artifact: Artifact) -> str:
    return fingerprint("p", NODE, {"s": [artifact]}, None, frozenset()).key


def test_custom_properties_of_inputs_count() -> None:
    keys = {of_input(Schema(uri="/s", custom_properties={"rows": rows})) for rows in (1, 2)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Schema, "name"),
        (Schema, "output_key"),
        (Schema, "producer_component"),
        (Schema, "pipeline_name"),
        (ModelBlessing, "current_model_id"),
        (ModelBlessing, "baseline_model"),
        (PushedModel, "pushed_model_id"),
    ],
)
def test_where_an_input_comes_from_does_not_count(kind: type[Artifact], name: str) -> None:
    assert of_input(kind(uri="/s")) == of_input(kind(uri="/s", custom_properties={name: "x"}))


def test_a_verdict_counts() -> None:
    keys = {of_input(ModelBlessing(uri="/b", custom_properties={"blessed": n})) for n in (0, 1)}
    assert len(keys) == 2


def test_values_count_as_the_store_gives_them_back() -> None:
    made = Schema(uri="/s", custom_properties={"flag": True, "large": 1 << 40, "share": 2})
    stored = Schema(uri="/s", custom_properties={"flag": 1, "large": float(1 << 40), "share": 2.0})
    assert of_input(made) == of_input(stored)


def test_where_data_is_does_not_count_for_its_driver_knows_its_content() -> None:
    here, there = (node_with({"input_base": place}, watched="data") for place in ("/a", "/b"))
    found = DriverResult("content", "1 file", {})
    assert of(here, driver=found).key == of(there, driver=found).key


def test_a_watched_file_counts_by_content_wherever_in_a_value_it_is(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    value = {"files": [str(tmp_path / "one"), str(tmp_path / "two")], "names": ["one"]}
    marks = (WatchedSpec("/files/0", "file"), WatchedSpec("/files/1", "file"))
    node = dataclasses.replace(NODE, parameters=(ParameterSpec("given", value, marks),))
    before = of(node)
    (tmp_path / "two").write_text("another")
    after = of(node)
    assert before.key != after.key
    assert explain_difference(before.parts, after.parts) == "file given/files/1 changed"


def test_another_meaning_of_tf_keras_is_another_result() -> None:
    two, three = (
        fingerprint("p", NODE, {}, None, frozenset(), keras) for keras in ("tf_keras", "keras")
    )
    assert two.key != three.key
    assert explain_difference(two.parts, three.parts) == "tf.keras: tf_keras -> keras"
