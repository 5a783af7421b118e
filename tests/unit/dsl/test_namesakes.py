"""Classes with the same name or fields, such as the two `Input`s, are not confused."""

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

import prodml
from prodml import Channel, Component, Output, Parameter, component
from prodml import components as messages
from prodml.artifacts import Examples
from prodml.components import CsvExampleGen, EvalArgs, SplitConfig, TrainArgs, Trainer
from prodml.dsl.parameters import encode
from prodml.errors import DefinitionError

HERE = r"^.*test_namesakes\.py:\d+: "


def declare(annotation: Any) -> None:
    class Wrong(Component):
        __annotations__ = {"examples": annotation}


def declare_function(annotation: Any) -> None:
    def Wrong(examples: Any, made: Output[Examples]) -> None: ...

    Wrong.__annotations__["examples"] = annotation
    component(Wrong)


@pytest.mark.parametrize("name", ["Input", "Output"])
def test_a_message_used_as_a_marker_shows_the_right_import(name: str) -> None:
    with pytest.raises(DefinitionError, match=f"{HERE}.*use `from prodml import {name}`"):
        getattr(messages, name)[Examples]


@pytest.mark.parametrize("name", ["Input", "Output"])
@pytest.mark.parametrize("declaring", [declare, declare_function])
def test_a_message_used_as_an_annotation_shows_the_right_import(
    name: str, declaring: Callable[[Any], None]
) -> None:
    expected = f"{HERE}Wrong.examples: .*`from prodml import {name}`"
    with pytest.raises(DefinitionError, match=expected):
        declaring(getattr(messages, name))


@pytest.mark.parametrize("name", ["Input", "Output"])
@pytest.mark.parametrize(
    "use",
    [
        lambda marker: marker(splits=[]),
        lambda marker: marker.Split(name="train", pattern="*"),
        lambda marker: messages.Input(splits=[marker]),
        lambda marker: CsvExampleGen(input_base="data", input_config=marker),
        lambda marker: CsvExampleGen(input_base="data", output_config=marker[Examples]),
        lambda marker: CsvExampleGen(input_base="data", output_config=marker[Examples] | None),
    ],
)
def test_a_marker_used_as_a_message_shows_the_right_import(
    name: str, use: Callable[[Any], object]
) -> None:
    expected = f"{HERE}.*`from prodml.components import {name}`"
    with pytest.raises(DefinitionError, match=expected):
        use(getattr(prodml, name))


def test_a_marker_without_a_type_is_refused() -> None:
    for marker in (prodml.Input, prodml.Output, prodml.Parameter):
        with pytest.raises(DefinitionError, match=rf"{HERE}Wrong.examples: write \w+\[\.\.\.\]"):
            declare(marker)


@pytest.mark.parametrize("annotation", [int, Examples, Channel, messages.SplitConfig])
def test_an_annotation_that_declares_nothing_is_refused(annotation: Any) -> None:
    with pytest.raises(DefinitionError, match=f"{HERE}Wrong.examples: .*Input\\[...\\]"):
        declare(annotation)


def test_a_class_attribute_may_be_annotated_with_classvar() -> None:
    class Right(Component):
        limit: ClassVar[int] = 3
        made: Output[Examples]

    assert list(Right.signature.outputs) == ["made"]


def test_a_message_of_another_class_with_the_same_fields_is_refused() -> None:
    with pytest.raises(
        DefinitionError,
        match=f"{HERE}Trainer parameter 'train_args': expected TrainArgs, got EvalArgs",
    ):
        Trainer(
            examples=Channel(type=Examples),
            module_file="module.py",
            train_args=EvalArgs(num_steps=5),
            eval_args=TrainArgs(num_steps=5),
        )


def test_a_nested_message_of_another_class_is_refused() -> None:
    wrong: Any = [SplitConfig.Split("train", 1)]
    with pytest.raises(
        DefinitionError, match="input_config': splits.0: expected InputSplit, got Outp"
    ):
        CsvExampleGen(input_base="data", input_config={"splits": wrong})


def test_a_message_is_accepted_for_any() -> None:
    value = {"args": TrainArgs(num_steps=5)}
    assert encode(dict[str, Any], value) == {"args": {"splits": ["train"], "num_steps": 5}}


def test_a_dict_is_accepted_for_a_message() -> None:
    class Right(Component):
        args: Parameter[TrainArgs | None] = None
        made: Output[Examples]

    assert Right(args={"num_steps": 5}).parameters["args"]["num_steps"] == 5
