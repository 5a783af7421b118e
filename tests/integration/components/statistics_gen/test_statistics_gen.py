"""StatisticsGen against TFDV."""

from pathlib import Path
from typing import Any

import pytest
import tensorflow_data_validation as tfdv
from support.flights_with_gaps import flights, write_flights
from support.running import execute
from support.statistics_on_disk import write_schema

from prodml.artifacts import Examples, ExampleStatistics, Schema
from prodml.components.statistics_gen.component import StatisticsGen, StatsOptions
from prodml.data.examples_layout import PayloadFormat
from prodml.dsl.channel import Channel
from prodml.dsl.executor import ExecutorContext
from prodml.errors import InputDataError

EXAMPLES = Channel(type=Examples)
BOTH = pytest.mark.parametrize("payload", list(PayloadFormat))


def run(tmp_path: Path, examples: Examples, **parameters: Any) -> ExecutorContext:
    component = StatisticsGen(examples=EXAMPLES, **parameters)
    return execute(component, {"examples": examples}, tmp_path)


def dataset(context: ExecutorContext, split: str) -> Any:
    artifact = context.output("statistics", ExampleStatistics)
    return tfdv.load_stats_binary(artifact.stats_path(split)).datasets[0]


def by_name(dataset: Any) -> dict[str, Any]:
    """Features by name, because their order depends on the columns."""
    return {".".join(feature.path.step): feature for feature in dataset.features}


@BOTH
def test_statistics_equal_those_of_tfdv_for_a_dataframe(
    tmp_path: Path, payload: PayloadFormat
) -> None:
    train, evaluation = flights(0, 700), flights(700, 300)
    examples = write_flights(tmp_path / "examples", payload, {"train": train, "eval": evaluation})
    context = run(tmp_path, examples)
    for split, batch in (("train", train), ("eval", evaluation)):
        frame = batch.to_pandas()
        frame["air_time"] = frame["air_time"].astype("float32")
        expected = tfdv.generate_statistics_from_dataframe(frame, n_jobs=1).datasets[0]
        found = dataset(context, split)
        assert found.num_examples == batch.num_rows
        assert found.features
        assert by_name(found) == by_name(expected)


def test_each_of_tfdvs_loaders_reads_the_same_statistics(tmp_path: Path) -> None:
    examples = write_flights(
        tmp_path / "examples", PayloadFormat.PARQUET, {"train": flights(0, 60)}
    )
    artifact = run(tmp_path, examples).output("statistics", ExampleStatistics)
    binary = tfdv.load_stats_binary(artifact.stats_path("train"))
    directory = Path(artifact.stats_path("train")).parent
    [record] = directory.glob("*.tfrecords")
    assert tfdv.load_statistics(str(record)) == binary
    assert tfdv.load_sharded_statistics(str(directory / "FeatureStats")).proto() == binary


@BOTH
def test_every_row_of_every_split_is_counted(tmp_path: Path, payload: PayloadFormat) -> None:
    splits = {"train": flights(0, 60), "eval": flights(60, 40)}
    context = run(tmp_path, write_flights(tmp_path / "examples", payload, splits, span=7))
    output = context.output("statistics", ExampleStatistics)
    assert output.split_names == ["train", "eval"]
    assert output.properties["span"] == 7
    assert [(c.split, c.read, c.written) for c in context.row_counts] == [
        ("train", 60, 60),
        ("eval", 40, 40),
    ]


def test_missing_values_are_counted_as_missing(tmp_path: Path) -> None:
    rows = flights(0, 700)
    examples = write_flights(tmp_path / "examples", PayloadFormat.PARQUET, {"train": rows})
    features = by_name(dataset(run(tmp_path, examples), "train"))
    missing = rows.column(rows.schema.get_field_index("air_time")).null_count
    assert missing > 0
    assert features["air_time"].num_stats.common_stats.num_missing == missing
    assert features["distance"].num_stats.common_stats.num_missing == 0


def test_an_excluded_split_has_no_statistics(tmp_path: Path) -> None:
    splits = {"train": flights(0, 60), "eval": flights(60, 40)}
    examples = write_flights(tmp_path / "examples", PayloadFormat.PARQUET, splits)
    output = run(tmp_path, examples, exclude_splits=["eval"]).output(
        "statistics", ExampleStatistics
    )
    assert output.split_names == ["train"]
    assert not Path(output.uri, "Split-eval").exists()


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    examples = write_flights(
        tmp_path / "examples", PayloadFormat.PARQUET, {"train": flights(0, 700)}
    )
    one, two = (
        Path(
            run(tmp_path, examples).output("statistics", ExampleStatistics).stats_path("train")
        ).read_bytes()
        for _ in range(2)
    )
    assert one == two


def test_options_reach_tfdv(tmp_path: Path) -> None:
    examples = write_flights(
        tmp_path / "examples", PayloadFormat.PARQUET, {"train": flights(0, 300)}
    )
    options = StatsOptions(feature_allowlist=["carrier", "distance"], num_top_values=2)
    features = by_name(dataset(run(tmp_path, examples, stats_options=options), "train"))
    assert set(features) == {"carrier", "distance"}
    assert len(features["carrier"].string_stats.top_values) == 2


def test_a_sample_is_a_share_of_the_rows_and_reports_dropped_rows(tmp_path: Path) -> None:
    examples = write_flights(
        tmp_path / "examples", PayloadFormat.PARQUET, {"train": flights(0, 1000)}
    )
    context = run(tmp_path, examples, stats_options=StatsOptions(sample_rate=0.25))
    recorded = context.output("statistics", ExampleStatistics).custom_properties
    assert recorded["sample_rate"] == 0.25
    [count] = context.row_counts
    assert 180 < count.written < 320
    assert count.dropped == {"not sampled": 1000 - count.written}
    assert dataset(context, "train").num_examples == count.written


def test_a_number_that_the_schema_declares_categorical_is_counted_by_value(tmp_path: Path) -> None:
    rows = flights(0, 300)
    examples = write_flights(tmp_path / "examples", PayloadFormat.PARQUET, {"train": rows})
    schema = tfdv.infer_schema(tfdv.generate_statistics_from_dataframe(rows.to_pandas(), n_jobs=1))
    tfdv.get_feature(schema, "hour").int_domain.is_categorical = True
    context = execute(
        StatisticsGen(examples=EXAMPLES, schema=Channel(type=Schema)),
        {"examples": examples, "schema": write_schema(tmp_path / "schema", schema)},
        tmp_path,
    )
    features = by_name(dataset(context, "train"))
    assert features["hour"].WhichOneof("stats") == "string_stats"
    assert features["month"].WhichOneof("stats") == "num_stats"


def test_a_split_without_rows_is_an_error_that_names_exclude_splits(
    tmp_path: Path,
) -> None:
    splits = {"train": flights(0, 60), "eval": flights(0, 0)}
    examples = write_flights(tmp_path / "examples", PayloadFormat.PARQUET, splits)
    with pytest.raises(InputDataError, match=r"split 'eval'.*exclude_splits=\['eval'\]"):
        run(tmp_path, examples)
    output = run(tmp_path, examples, exclude_splits=["eval"]).output(
        "statistics", ExampleStatistics
    )
    assert output.split_names == ["train"]


def test_a_sample_without_rows_is_an_error(tmp_path: Path) -> None:
    examples = write_flights(tmp_path / "examples", PayloadFormat.PARQUET, {"train": flights(0, 9)})
    with pytest.raises(InputDataError, match=r"sample_rate of 1e-09 leaves none of its 9 rows"):
        run(tmp_path, examples, stats_options=StatsOptions(sample_rate=1e-9))
