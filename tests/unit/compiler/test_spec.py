import pytest
from hypothesis import given
from support.strategies import pipeline_specs

from prodml.compiler.spec import PipelineSpec, from_json, to_json
from prodml.errors import RequestError


@given(pipeline_specs)
def test_a_spec_survives_the_round_trip_through_json(spec: PipelineSpec) -> None:
    assert from_json(to_json(spec), spec.project) == spec


@given(pipeline_specs)
def test_equal_specs_have_the_same_bytes(spec: PipelineSpec) -> None:
    assert to_json(from_json(to_json(spec), spec.project)) == to_json(spec)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"spec_version": 3}', "null", "1"])
def test_text_that_is_not_a_spec_is_refused(text: str) -> None:
    with pytest.raises(RequestError):
        from_json(text, "/project")


def test_the_error_for_another_version_says_to_compile_again() -> None:
    with pytest.raises(RequestError, match="version 99.*compile the pipeline again"):
        from_json('{"spec_version": 99}', "/project")
