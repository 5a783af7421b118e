"""SchemaGen against TFDV."""

from pathlib import Path

import tensorflow_data_validation as tfdv
from support.running import execute
from support.statistics_on_disk import write_statistics

from prodml.artifacts import ExampleStatistics, Schema
from prodml.components.schema_gen.component import SchemaGen
from prodml.dsl.channel import Channel

TRAIN = {"carrier": ["AA", "UA", "UA"], "distance": [733, 1400, 733], "delay": [1.0, None, 2.0]}
EVAL = {"carrier": ["B6", "UA"], "distance": [733, 200], "delay": [None, 2.0]}


def test_the_schema_covers_the_values_of_every_split(tmp_path: Path) -> None:
    statistics = write_statistics(tmp_path / "statistics", {"train": TRAIN, "eval": EVAL})
    context = execute(
        SchemaGen(statistics=Channel(type=ExampleStatistics)), {"statistics": statistics}, tmp_path
    )
    schema = tfdv.load_schema_text(context.output("schema", Schema).schema_path)
    assert set(tfdv.get_domain(schema, "carrier").value) == {"AA", "B6", "UA"}
    assert [(c.split, c.read, c.written) for c in context.row_counts] == [
        ("train", 3, 3),
        ("eval", 2, 2),
    ]


def test_an_excluded_split_is_ignored(tmp_path: Path) -> None:
    statistics = write_statistics(tmp_path / "statistics", {"train": TRAIN, "eval": EVAL})
    component = SchemaGen(statistics=Channel(type=ExampleStatistics), exclude_splits=["eval"])
    context = execute(component, {"statistics": statistics}, tmp_path)
    schema = tfdv.load_schema_text(context.output("schema", Schema).schema_path)
    assert set(tfdv.get_domain(schema, "carrier").value) == {"AA", "UA"}


def test_a_feature_in_every_row_gets_a_shape_only_if_requested(tmp_path: Path) -> None:
    statistics = write_statistics(tmp_path / "statistics", {"train": TRAIN})
    shapes = []
    for infer_feature_shape in (True, False):
        component = SchemaGen(
            statistics=Channel(type=ExampleStatistics), infer_feature_shape=infer_feature_shape
        )
        context = execute(component, {"statistics": statistics}, tmp_path)
        schema = tfdv.load_schema_text(context.output("schema", Schema).schema_path)
        shapes.append(tfdv.get_feature(schema, "distance").HasField("shape"))
    assert shapes == [True, False]
