from typing import Any

import pytest

from prodml import Component, Output, Parameter, pipeline
from prodml.artifacts import Examples
from prodml.errors import DefinitionError, ParameterError


class Make(Component):
    number: Parameter[int]
    examples: Output[Examples]


@pipeline(name="numbers")
def numbers(number: int, name: str = "n", ratio: float = 0.5, tags: list[str] = []) -> None:  # noqa: B006
    """Makes numbers."""
    Make(number=number)


def test_components_created_inside_belong_to_the_pipeline() -> None:
    built = numbers.build({"number": 3})
    assert [c.id for c in built.components] == ["Make"]
    assert built.components[0].parameters == {"number": 3}


def test_components_created_outside_belong_to_no_pipeline() -> None:
    Make(number=1)
    assert len(numbers.build({"number": 3}).components) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "needs the parameter 'number' \\(int\\)"),
        ({"number": "three"}, "'number' .*must be int.*got 'three'"),
        ({"number": 3, "nmae": "x"}, "no parameter 'nmae'; did you mean 'name'"),
        ({"number": 3.5}, "must be int"),
    ],
)
def test_a_wrong_parameter_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        numbers.build(values)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("number", "4", 4),
        ("name", "4", "4"),
        ("ratio", "0.25", 0.25),
        ("tags", '["a", "b"]', ["a", "b"]),
    ],
)
def test_text_from_the_command_line_is_parsed_as_the_declared_type(
    name: str, text: str, value: object
) -> None:
    assert numbers.parse(name, text) == value


def test_text_of_another_type_is_refused() -> None:
    with pytest.raises(ParameterError, match="must be int, got 'x'"):
        numbers.parse("number", "x")


def test_deeply_nested_text_is_refused_and_shortened() -> None:
    with pytest.raises(
        ParameterError, match=r"must be list\[str\], got '\[+\.\.\.': .* deeper than 100"
    ):
        numbers.parse("tags", "[" * 100_000)


def test_a_pipeline_name_must_be_a_safe_directory_name() -> None:
    with pytest.raises(DefinitionError, match="letters, digits"):
        pipeline(name="../up")


def test_an_untyped_parameter_is_refused() -> None:
    with pytest.raises(DefinitionError, match="'number' of pipeline 'p' has no type"):

        @pipeline(name="p")
        def p(number) -> None: ...  # type: ignore[no-untyped-def]
