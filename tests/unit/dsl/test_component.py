import inspect

import pytest

from prodml import Channel, Component, Input, Output, Parameter, component
from prodml.artifacts import Examples, ExampleStatistics, Schema
from prodml.dsl.parameters import FilePath, ModulePath, watched
from prodml.errors import DefinitionError


class Count(Component):
    examples: Input[Examples]
    schema: Input[Schema] | None = None
    exclude_splits: Parameter[list[str]] = ()
    limit: Parameter[int | None] = None
    statistics: Output[ExampleStatistics]


EXAMPLES = Channel(type=Examples)


def test_the_class_body_declares_inputs_outputs_and_parameters() -> None:
    assert list(Count.signature.inputs) == ["examples", "schema"]
    assert Count.signature.inputs["schema"].is_optional
    assert not Count.signature.inputs["examples"].is_optional
    assert list(Count.signature.outputs) == ["statistics"]
    assert list(Count.signature.parameters) == ["exclude_splits", "limit"]


def test_help_shows_the_declared_arguments() -> None:
    assert list(inspect.signature(Count).parameters) == [
        "examples", "schema", "exclude_splits", "limit",
    ]  # fmt: skip


def test_a_component_records_the_line_that_created_it() -> None:
    count = Count(examples=EXAMPLES)
    assert count.location.file == __file__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs the input 'examples' \\(Examples\\)"),
        ({"examples": Channel(type=Schema)}, "expects Examples, got Channel\\(type=Schema\\)"),
        ({"examples": "data/"}, "expects a Channel of Examples, got 'data/'"),
        ({"exmaples": EXAMPLES}, "no argument 'exmaples'; did you mean 'examples'"),
        ({"examples": EXAMPLES, "limit": "3"}, "parameter 'limit': .*got '3'"),
        ({"examples": EXAMPLES, "limit": True}, "parameter 'limit'"),
        ({"examples": EXAMPLES, "exclude_splits": [1]}, "parameter 'exclude_splits'"),
    ],
)
def test_a_wrong_argument_is_refused_with_the_authors_line(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(DefinitionError, match=rf"test_component\.py:\d+: Count .*{message}"):
        Count(**arguments)


def test_an_unknown_output_suggests_a_known_one() -> None:
    with pytest.raises(DefinitionError, match="no output 'stats'; did you mean 'statistics'"):
        Count(examples=EXAMPLES).outputs["stats"]


def test_an_input_must_be_an_artifact_type() -> None:
    with pytest.raises(DefinitionError, match="expects an artifact type"):

        class Wrong(Component):
            examples: Input[int]


def test_a_typed_function_becomes_a_component() -> None:
    @component
    def Double(
        examples: Input[Examples], schema: Output[Schema], times: Parameter[int] = 2
    ) -> None:
        """Doubles."""

    double = Double(examples=EXAMPLES)
    assert double.id == "Double"
    assert double.parameters == {"times": 2}
    assert double.outputs["schema"].type is Schema
    assert Double.__doc__ == "Doubles."


def test_a_function_argument_without_a_role_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"Double\.times: int declares nothing; write Input"):

        @component
        def Double(examples: Input[Examples], times: int) -> None: ...

    with pytest.raises(DefinitionError, match="annotate times"):

        @component
        def Triple(examples: Input[Examples], times) -> None: ...  # type: ignore[no-untyped-def]


def test_a_parameter_of_type_path_is_watched() -> None:
    class Reads(Component):
        schema_file: Parameter[FilePath]
        module_file: Parameter[ModulePath] = "module.py"

    declared = Reads.signature.parameters
    assert dict(watched(declared["schema_file"].type, "a")) == {"": "file"}
    assert dict(watched(declared["module_file"].type, "a")) == {"": "module"}
