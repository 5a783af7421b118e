"""A CSV column that is empty in every row, from the file to preprocessing_fn."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from support.running import execute
from support.statistics_on_disk import write_schema
from tensorflow_metadata.proto.v0 import schema_pb2

from prodml.artifacts import Examples, ExampleStatistics, Schema
from prodml.components.csv_example_gen.component import CsvExampleGen
from prodml.components.statistics_gen.component import StatisticsGen
from prodml.components.transform.component import Transform
from prodml.data.examples_layout import empty_columns, payload_format, split_files
from prodml.data.record_batches import read_record_batches
from prodml.dsl.channel import Channel
from prodml.dsl.executor import ExecutorContext
from prodml.errors import UserCodeError

MODULE = """import tensorflow as tf

def preprocessing_fn(inputs):
    return {"hour": inputs["hour"], "gate": inputs["gate"]}
"""
GATE = 'feature { name: "gate" type: INT }'


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    (tmp_path / "data").mkdir()
    rows = "".join(f"{hour},\n" for hour in range(100))
    (tmp_path / "data" / "flights.csv").write_text(f"hour,gate\n{rows}")
    generated = execute(CsvExampleGen(input_base=str(tmp_path / "data")), {}, tmp_path)
    return generated.output("examples", Examples)


def test_the_examples_record_the_empty_columns(examples: Examples) -> None:
    assert empty_columns(examples) == ["gate"]


def test_the_error_for_a_feature_that_was_empty_in_every_row_says_what_to_do(
    examples: Examples, tmp_path: Path
) -> None:
    with pytest.raises(UserCodeError) as raised:
        _transformed(examples, _inferred(examples, tmp_path), tmp_path)
    assert (
        "features.py:4, in preprocessing_fn: KeyError: 'gate'; the column 'gate' is empty in "
        in (str(raised.value))
    )
    assert "add the feature to a schema of your own (ImportSchemaGen)" in str(raised.value)


def test_an_empty_feature_of_the_schema_is_missing_in_every_row(
    examples: Examples, tmp_path: Path
) -> None:
    schema = _inferred(examples, tmp_path)
    schema.MergeFrom(text_format.Parse(GATE, schema_pb2.Schema()))
    context = _transformed(examples, schema, tmp_path)
    transformed = context.output("transformed_examples", Examples)
    rows = [
        row
        for split in ("train", "eval")
        for batch in read_record_batches(
            split_files(transformed, split), payload_format(transformed)
        )
        for row in batch.to_pylist()
    ]
    assert len(rows) == 100
    assert not any(row["gate"] for row in rows)


def _inferred(examples: Examples, tmp_path: Path) -> schema_pb2.Schema:
    found = execute(
        StatisticsGen(examples=Channel(type=Examples)), {"examples": examples}, tmp_path
    )
    statistics = found.output("statistics", ExampleStatistics)
    return tfdv.infer_schema(tfdv.load_stats_binary(statistics.stats_path("train")))


def _transformed(examples: Examples, schema: schema_pb2.Schema, tmp_path: Path) -> ExecutorContext:
    module = tmp_path / "features.py"
    module.write_text(MODULE)
    component = Transform(
        examples=Channel(type=Examples), schema=Channel(type=Schema), module_file=str(module)
    )
    inputs = {"examples": examples, "schema": write_schema(tmp_path / "schema", schema)}
    return execute(component, inputs, tmp_path)
