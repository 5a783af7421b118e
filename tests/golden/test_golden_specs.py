"""Each feature of the spec as a short pipeline and the JSON that it compiles to.

After a change that is meant: `.venv/bin/pytest tests/golden --regenerate`, and read the diff.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from prodml import Channel, Component, Cond, Input, Output, Parameter, component, pipeline
from prodml.artifacts import Artifact, Examples, ExampleStatistics, Model, ModelBlessing, Schema
from prodml.compiler.compile import compile_pipeline
from prodml.compiler.spec import from_json, to_json
from prodml.components import (
    Importer,
    LatestArtifactStrategy,
    LatestBlessedModelStrategy,
    Resolver,
)
from prodml.dsl.parameters import FilePath, ModulePath

SPECS = Path(__file__).parent / "specs"


class Make(Component):
    examples: Output[Examples]


class Count(Component):
    examples: Input[Examples]
    schema: Input[Schema] | None = None
    statistics: Output[ExampleStatistics]


class Settings(Component):
    number: Parameter[int] = 3
    names: Parameter[list[str]] = ()
    module_file: Parameter[ModulePath | None] = None
    schema_file: Parameter[FilePath | None] = None


class Check(Component):
    judges = ("statistics",)
    statistics: Input[ExampleStatistics]


class Push(Component):
    needs_clean_run = True
    examples: Input[Examples]


class Card(Artifact):
    type_name = "Card"


@dataclass(frozen=True)
class Style:
    color: str


@component
def Draw(card: Output[Card], styles: Parameter[dict[str, Style] | Literal["plain"]]) -> None:
    pass


Draw.is_thread_safe = True


def chain() -> None:
    Count(examples=Make().outputs["examples"])


def several_channels_in_one_input() -> None:
    one, two = Make().with_id("one"), Make().with_id("two")
    Count(examples=[one.outputs["examples"], two.outputs["examples"]])


def optional_input() -> None:
    schema = Importer(source_uri="schema", artifact_type=Schema)
    Count(examples=Make().outputs["examples"], schema=schema.outputs["result"])


def parameters() -> None:
    Settings(number=4, names=["a"])


def watched_files() -> None:
    Settings(module_file="module.py", schema_file="schema.pbtxt")


def order_without_data() -> None:
    later, earlier = Make().with_id("later"), Make().with_id("earlier")
    later.add_upstream_node(earlier)


def caching_off() -> None:
    Make().without_cache()


def importer() -> None:
    Importer(source_uri="there", artifact_type=Examples, properties={"span": 2}, reimport=True)


def resolver() -> None:
    Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=Channel(type=Model),
        model_blessing=Channel(type=ModelBlessing),
    ).with_id("latest_blessed_model")


def resolver_of_one_output() -> None:
    Count(examples=Make().outputs["examples"])
    Resolver(
        strategy_class=LatestArtifactStrategy,
        statistics=Channel(
            type=ExampleStatistics, producer_component_id="Count", output_key="statistics"
        ),
    )


def guard() -> None:
    examples = Make().outputs["examples"]
    Check(statistics=Count(examples=examples).outputs["statistics"])
    Count(examples=examples).with_id("guarded")
    Count(examples=examples).with_id("opted_out").without_guards()


def clean_run() -> None:
    Push(examples=Make().outputs["examples"])
    Make().with_id("beside")


def condition() -> None:
    examples = Make().outputs["examples"]
    with Cond(examples.future()[0].property("span") >= 2):
        Count(examples=examples)


def thread_safe_function_with_types_of_its_own() -> None:
    Draw(styles={"front": Style("red")})


FEATURES = [
    chain,
    condition,
    several_channels_in_one_input,
    optional_input,
    parameters,
    watched_files,
    order_without_data,
    caching_off,
    importer,
    resolver,
    resolver_of_one_output,
    guard,
    clean_run,
    thread_safe_function_with_types_of_its_own,
]


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.__name__)
def test_a_feature_compiles_to_its_golden_spec(
    feature: Callable[[], None], request: pytest.FixtureRequest
) -> None:
    spec = compile_pipeline(pipeline(name=feature.__name__)(feature).build())
    # Lines move whenever this file is edited; where they point is tested elsewhere.
    text = without_lines(to_json(spec))
    golden = SPECS / f"{feature.__name__}.json"
    if request.config.getoption("--regenerate"):
        golden.write_text(text)
    assert text == golden.read_text()
    assert from_json(to_json(spec), spec.project) == spec


def test_compiling_twice_gives_the_same_bytes() -> None:
    made = [to_json(compile_pipeline(pipeline(name="p")(chain).build())) for _ in range(2)]
    first, second = (without_lines(text) for text in made)
    assert first == second


def without_lines(text: str) -> str:
    kept = [
        line.rpartition(":")[0].rpartition(":")[0] + ': "golden"' + ("," * line.endswith(","))
        if '"location": ' in line
        else line.replace(str(Path(__file__).parent), "")
        for line in text.splitlines()
    ]
    return "\n".join(kept) + "\n"
