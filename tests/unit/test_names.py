import os
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml import Component, Output, component, pipeline
from prodml.artifacts import Examples
from prodml.compiler.compile import compile_pipeline
from prodml.compiler.spec import from_json, to_json
from prodml.components.example_gen.config import Input as InputConfig
from prodml.components.example_gen.config import InputSplit, OutputSplit, SplitConfig
from prodml.components.infra_validator.component import ServingSpec
from prodml.data.examples_layout import split_files
from prodml.dsl.signature import Signature
from prodml.errors import DefinitionError, InputDataError, RequestError
from prodml.names import LONGEST, is_name

HOSTILE = [
    "", ".", "..", "../up", "a/b", "/etc", "a\\b", ".hidden", "-rf", "a b", "a\n", "a\0b", "a.b",
    "ä", "a\u2215b", "%2e%2e", "~", "$HOME", "a" * (LONGEST + 1), "Split-a/../../b",
]  # fmt: skip

texts = st.text(st.sampled_from("./\\-_ab\0\n~%:") | st.characters()) | st.sampled_from(HOSTILE)


@component
def Make(made: Output[Examples]) -> None: ...


@given(texts)
def test_no_accepted_name_leaves_its_root(name: str) -> None:
    if is_name(name):
        for step in (name, f"{name}.log", f"Split-{name}", f".staging-{name}"):
            path = os.path.normpath(os.path.join("/root/of/all", step))
            assert os.path.dirname(path) == "/root/of/all"
            assert os.path.basename(path) == step
            assert len(os.fsencode(step)) < 255


@given(st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=LONGEST))
def test_plain_words_are_names(name: str) -> None:
    assert is_name(name) != name.startswith("-")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_rejected_by_every_entry_point(name: str) -> None:
    assert not is_name(name)
    with pytest.raises(DefinitionError, match=r"test_names\.py:\d+: pipeline name"):
        pipeline(name=name)
    with pytest.raises(ValueError, match="split name"):
        SplitConfig([OutputSplit(name, 1)])
    with pytest.raises(ValueError, match="split name"):
        InputConfig([InputSplit(name, "*")])
    with pytest.raises(ValueError, match="model_name"):
        ServingSpec(model_name=name)

    @pipeline(name="named")
    def named() -> None:
        Make().with_id(name)

    with pytest.raises(DefinitionError, match=r"test_names\.py:\d+: node id"):
        compile_pipeline(named.build())


def test_an_output_with_an_invalid_name_is_rejected() -> None:
    (declared,) = Make.signature.outputs.values()

    class Escaping(Component):
        """A component whose outputs have names that are impossible in a class body."""

    Escaping.signature = Signature({}, {"../up": declared}, {})

    @pipeline(name="outputs")
    def outputs() -> None:
        Escaping()

    with pytest.raises(DefinitionError, match=r"output '\.\./up'"):
        compile_pipeline(outputs.build())


def test_a_spec_from_a_file_is_checked() -> None:
    @pipeline(name="stored")
    def stored() -> None:
        Make()

    text = to_json(compile_pipeline(stored.build()))
    assert to_json(from_json(text, "/elsewhere")) == text
    for old in ('"stored"', '"Make"', '"made"'):
        with pytest.raises(RequestError, match=r"the name '\.\./up' is not allowed"):
            from_json(text.replace(f'"id": {old}', '"id": "../up"').replace(
                f'"name": {old}', '"name": "../up"'
            ), "/elsewhere")  # fmt: skip


def test_a_split_name_from_the_store_cannot_leave_the_artifact() -> None:
    examples = Examples(uri="/data/examples")
    examples.split_names = ["train", "x/../../../etc"]
    assert examples.split_uri("train") == "/data/examples/Split-train"
    with pytest.raises(InputDataError, match="split 'x/../../../etc' of /data/examples"):
        examples.split_uri("x/../../../etc")
    with pytest.raises(InputDataError, match="split 'x/../../../etc'"):
        split_files(examples, "x/../../../etc")


@pytest.mark.parametrize("pattern", ["../other/*", "/etc/*", "a/../../b", "{SPAN}/..", "a\0b"])
def test_a_pattern_that_leaves_its_input_base_is_rejected(pattern: str) -> None:
    with pytest.raises(ValueError, match="leaves input_base"):
        InputSplit("train", pattern)
    InputSplit("train", "./span-{SPAN}/v{VERSION}/**/..data*")
