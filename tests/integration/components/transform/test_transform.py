"""Transform against TensorFlow Transform and TFDV."""

import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
import tensorflow_transform as tft
from support.flights_with_gaps import flights, write_flights
from support.pickles import pickles_under
from support.running import execute
from support.statistics_on_disk import write_schema
from tensorflow_metadata.proto.v0 import anomalies_pb2

from prodml.artifacts import (
    Examples,
    ExampleStatistics,
    Schema,
    TransformCache,
    TransformGraph,
)
from prodml.components.transform.component import SplitsConfig, Transform
from prodml.data.examples_layout import PayloadFormat, split_files
from prodml.data.record_batches import read_record_batches, serialize_examples
from prodml.dsl.channel import Channel
from prodml.dsl.executor import ExecutorContext
from prodml.errors import DefinitionError, InputDataError

MODULE = str(Path(__file__).parents[3] / "support" / "flights_preprocessing.py")
BOTH = pytest.mark.parametrize("payload", list(PayloadFormat))


def flights_schema(rows: pa.RecordBatch) -> Any:
    frame = rows.to_pandas()
    frame["air_time"] = frame["air_time"].astype("float32")
    return tfdv.infer_schema(tfdv.generate_statistics_from_dataframe(frame, n_jobs=1))


def transform(
    tmp_path: Path,
    examples: Examples | Sequence[Examples],
    schema: Any = None,
    cache: TransformCache | None = None,
    **parameters: Any,
) -> ExecutorContext:
    inputs: dict[str, Any] = {
        "examples": examples,
        "schema": write_schema(tmp_path / "schema", schema or flights_schema(flights(0, 700))),
    }
    channels: dict[str, Any] = {
        "examples": Channel(type=Examples),
        "schema": Channel(type=Schema),
        "analyzer_cache": Channel(type=TransformCache),
    }
    if cache is not None:
        inputs["analyzer_cache"] = cache
    parameters.setdefault("module_file", MODULE)
    return execute(Transform(**channels, **parameters), inputs, tmp_path)


def rows_of(examples: Examples, split: str, payload: PayloadFormat) -> pa.RecordBatch:
    [batch] = (
        pa.Table.from_batches(list(read_record_batches(split_files(examples, split), payload)))
        .combine_chunks()
        .to_batches()
    )
    return batch


@BOTH
def test_each_row_equals_the_graphs_result_for_that_row(
    tmp_path: Path, payload: PayloadFormat
) -> None:
    raw = write_flights(
        tmp_path / "raw", payload, {"train": flights(0, 300), "eval": flights(300, 40)}
    )
    context = transform(tmp_path, raw)
    graph = tft.TFTransformOutput(context.output("transform_graph", TransformGraph).uri)
    transformed = rows_of(context.output("transformed_examples", Examples), "eval", payload)
    layer = graph.transform_features_layer()
    for number, record in enumerate(serialize_examples(rows_of(raw, "eval", payload)).to_pylist()):
        alone = layer(tf.io.parse_example([record], graph.raw_feature_spec()))
        assert set(alone) == set(transformed.schema.names)
        for name, tensor in alone.items():
            column = transformed.column(transformed.schema.get_field_index(name))
            np.testing.assert_array_equal(column[number].as_py(), np.ravel(tensor.numpy()))


@BOTH
def test_the_examples_keep_their_payload_splits_span_and_rows(
    tmp_path: Path, payload: PayloadFormat
) -> None:
    raw = write_flights(
        tmp_path / "raw", payload, {"train": flights(0, 90), "eval": flights(90, 60)}, span=3
    )
    context = transform(tmp_path, raw, disable_statistics=True)
    transformed = context.output("transformed_examples", Examples)
    assert transformed.split_names == ["train", "eval"]
    assert transformed.properties["span"] == 3
    assert transformed.custom_properties == raw.custom_properties
    assert [(c.split, c.read, c.written) for c in context.row_counts] == [
        ("train", 90, 90),
        ("eval", 60, 60),
    ]


def test_statistics_and_schemas_describe_both_sides(tmp_path: Path) -> None:
    payload = PayloadFormat.PARQUET
    raw = write_flights(
        tmp_path / "raw", payload, {"train": flights(0, 300), "eval": flights(300, 100)}
    )
    schema = flights_schema(flights(0, 400))
    context = transform(tmp_path, raw, schema)
    before, after = (
        tfdv.load_stats_binary(
            str(Path(context.output(key, ExampleStatistics).uri, "FeatureStats.pb"))
        ).datasets[0]
        for key in ("pre_transform_stats", "post_transform_stats")
    )
    assert (before.num_examples, after.num_examples) == (300, 400)
    frame = flights(0, 300).to_pandas()
    frame["air_time"] = frame["air_time"].astype("float32")
    expected = tfdv.generate_statistics_from_dataframe(
        frame, tfdv.StatsOptions(schema=schema), n_jobs=1
    ).datasets[0]
    assert {str(f.path): f for f in before.features} == {str(f.path): f for f in expected.features}
    output = context.output("post_transform_schema", Schema)
    graph = tft.TFTransformOutput(context.output("transform_graph", TransformGraph).uri)
    assert tfdv.load_schema_text(output.schema_path) == graph.transformed_metadata.schema
    assert (
        tfdv.load_schema_text(context.output("pre_transform_schema", Schema).schema_path) == schema
    )
    anomalies = Path(context.outputs["post_transform_anomalies"].uri, "SchemaDiff.pb")
    assert not anomalies_pb2.Anomalies.FromString(anomalies.read_bytes()).anomaly_info


@pytest.mark.parametrize(
    ("disabled", "written"),
    [
        (True, set()),
        ("pre_transform", {"post_transform_stats", "post_transform_anomalies"}),
        ("post_transform", {"pre_transform_stats"}),
    ],
)
def test_each_of_the_statistics_can_be_disabled(
    tmp_path: Path, disabled: bool | str, written: set[str]
) -> None:
    raw = write_flights(tmp_path / "raw", PayloadFormat.PARQUET, {"train": flights(0, 200)})
    context = transform(tmp_path, raw, disable_statistics=disabled)
    keys = {"pre_transform_stats", "post_transform_stats", "post_transform_anomalies"}
    assert keys & context.outputs.keys() == written
    assert all(any(Path(context.outputs[key].uri).iterdir()) for key in written)


def test_without_materialize_there_is_a_graph_but_no_examples(tmp_path: Path) -> None:
    raw = write_flights(tmp_path / "raw", PayloadFormat.PARQUET, {"train": flights(0, 200)})
    context = transform(tmp_path, raw, materialize=False, disable_statistics=True)
    assert "transformed_examples" not in context.outputs
    assert tft.TFTransformOutput(context.outputs["transform_graph"].uri).vocabulary_size_by_name(
        "carrier"
    )
    assert [(c.split, c.read, c.written) for c in context.row_counts] == [("train", 200, 200)]


THREE_PHASES = """
import tensorflow as tf
import tensorflow_transform as tft

def preprocessing_fn(inputs):
    scaled = tft.scale_to_z_score(tf.cast(inputs["distance"], tf.float32))
    # The boundaries depend on the mean, which takes a second pass over the data.
    bucket = tft.bucketize(scaled, 5)
    # This takes a third pass.
    named = tft.compute_and_apply_vocabulary(tf.strings.as_string(bucket), vocab_filename="named")
    return {
        "named": named,
        "bucket": bucket,
        "scalar": tf.squeeze(scaled, 1),
        "wide": tf.tile(scaled, [1, 3]),
        "sparse": inputs["air_time"],
    }
"""


@pytest.mark.parametrize("is_compat_v1", [False, True])
def test_analyzers_can_depend_on_one_another_and_outputs_have_any_shape(
    tmp_path: Path, is_compat_v1: bool
) -> None:
    module = tmp_path / "three_phases.py"
    module.write_text(THREE_PHASES)
    raw = write_flights(tmp_path / "raw", PayloadFormat.PARQUET, {"train": flights(0, 300)})
    context = transform(tmp_path, raw, module_file=str(module), force_tf_compat_v1=is_compat_v1)
    rows = rows_of(context.output("transformed_examples", Examples), "train", PayloadFormat.PARQUET)
    columns = {name: rows.column(n).to_pylist() for n, name in enumerate(rows.schema.names)}
    assert {bucket for [bucket] in columns["bucket"]} == {0, 1, 2, 3, 4}
    assert {index for [index] in columns["named"]} == {0, 1, 2, 3, 4}
    assert columns["wide"] == [scalar * 3 for scalar in columns["scalar"]]
    air_time = flights(0, 300).column(flights(0, 300).schema.get_field_index("air_time"))
    assert sum(not values for values in columns["sparse"]) == air_time.null_count


def test_only_the_splits_named_are_analyzed_and_transformed(tmp_path: Path) -> None:
    splits = {"train": flights(0, 200), "eval": flights(200, 100), "test": flights(300, 50)}
    raw = write_flights(tmp_path / "raw", PayloadFormat.PARQUET, splits)
    config = SplitsConfig(analyze=("train", "eval"), transform=("eval", "test"))
    context = transform(tmp_path, raw, splits_config=config)
    assert context.output("transformed_examples", Examples).split_names == ["eval", "test"]
    statistics = Path(context.outputs["pre_transform_stats"].uri, "FeatureStats.pb")
    assert tfdv.load_stats_binary(str(statistics)).datasets[0].num_examples == 300


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    raw = write_flights(
        tmp_path / "raw", PayloadFormat.PARQUET, {"train": flights(0, 300), "eval": flights(300, 9)}
    )
    one, two = (transform(tmp_path, raw) for _ in range(2))
    for key in ("transformed_examples", "pre_transform_stats", "post_transform_stats"):
        first, second = (Path(context.outputs[key].uri) for context in (one, two))
        files = sorted(file.relative_to(first) for file in first.rglob("*") if file.is_file())
        assert files
        for file in files:
            assert (first / file).read_bytes() == (second / file).read_bytes(), file


def test_a_span_in_the_cache_is_not_analyzed_again_and_gives_the_same_result(
    tmp_path: Path,
) -> None:
    payload = PayloadFormat.PARQUET
    spans = [
        write_flights(tmp_path / f"span-{n}", payload, {"train": flights(n * 150, 150)}, span=n)
        for n in range(2)
    ]
    first = transform(tmp_path, spans[:1])
    stored = first.output("updated_analyzer_cache", TransformCache)
    cached = transform(tmp_path, spans, cache=stored)
    fresh = transform(tmp_path, spans, disable_analyzer_cache=True)
    assert "analyzer cache: 1 of 2 datasets were cached" in cached.notes
    assert not any("cache" in note for note in [*first.notes, *fresh.notes])
    assert "updated_analyzer_cache" not in fresh.outputs
    one, two = (
        rows_of(context.output("transformed_examples", Examples), "train", payload)
        for context in (cached, fresh)
    )
    assert one.num_rows == 300
    for name in one.schema.names:
        column, other = (
            np.concatenate(batch.column(batch.schema.get_field_index(name)).to_pylist())
            for batch in (one, two)
        )
        np.testing.assert_allclose(column, other, rtol=1e-6)


def test_a_cache_that_covers_everything_is_copied_completely(tmp_path: Path) -> None:
    raw = write_flights(tmp_path / "raw", PayloadFormat.PARQUET, {"train": flights(0, 200)})
    first = transform(tmp_path, raw)
    stored = first.output("updated_analyzer_cache", TransformCache)
    second = transform(tmp_path, raw, cache=stored)
    assert "analyzer cache: 1 of 1 datasets were cached" in second.notes
    again = second.output("updated_analyzer_cache", TransformCache)
    names = [
        sorted(str(file.relative_to(cache.uri)) for file in Path(cache.uri).rglob("*"))
        for cache in (stored, again)
    ]
    assert names[0] == names[1]


def test_the_cache_has_no_pickle_and_a_pickle_in_it_is_not_loaded(tmp_path: Path) -> None:
    raw = write_flights(tmp_path / "raw", PayloadFormat.PARQUET, {"train": flights(0, 200)})
    stored = transform(tmp_path, raw).output("updated_analyzer_cache", TransformCache)
    assert len(list(Path(stored.uri).rglob("*.gz"))) > 3
    assert pickles_under(Path(stored.uri)) == []
    (manifest,) = Path(stored.uri).rglob("MANIFEST.json")
    trap = pickle.dumps(Trap(str(tmp_path / "was-run")))
    manifest.write_bytes(trap)
    manifest.with_name("MANIFEST").write_bytes(trap)
    again = transform(tmp_path, raw, cache=stored)
    assert not any("analyzer cache" in note for note in again.notes)
    assert not (tmp_path / "was-run").exists()


class Trap:
    """Creates a directory when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def test_custom_config_reaches_the_function(tmp_path: Path) -> None:
    raw = write_flights(tmp_path / "raw", PayloadFormat.PARQUET, {"train": flights(0, 200)})
    context = transform(tmp_path, raw, custom_config={"buckets": 2}, disable_statistics=True)
    rows = rows_of(context.output("transformed_examples", Examples), "train", PayloadFormat.PARQUET)
    hours = rows.column(rows.schema.get_field_index("hour")).to_pylist()
    assert {hour for [hour] in hours} == {0, 1}


def test_a_function_is_found_by_its_import_path(tmp_path: Path) -> None:
    raw = write_flights(tmp_path / "raw", PayloadFormat.PARQUET, {"train": flights(0, 200)})
    context = transform(
        tmp_path,
        raw,
        module_file=None,
        preprocessing_fn="support.flights_preprocessing.preprocessing_fn",
        disable_statistics=True,
    )
    assert [c.written for c in context.row_counts] == [200]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs exactly one of module_file and preprocessing_fn"),
        ({"module_file": MODULE, "preprocessing_fn": "a.b"}, "exactly one of"),
        ({"preprocessing_fn": "no_such_module.function"}, "no module 'no_such_module'"),
        ({"preprocessing_fn": "function"}, "write package.module.function"),
    ],
)
def test_a_transform_without_exactly_one_function_is_rejected_at_definition(
    arguments: dict[str, str], message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        Transform(examples=Channel(type=Examples), schema=Channel(type=Schema), **arguments)


@BOTH
def test_a_feature_of_the_schema_that_no_row_has_is_named(
    tmp_path: Path, payload: PayloadFormat
) -> None:
    rows = flights(0, 100)
    kept = [name for name in rows.schema.names if name != "distance"]
    without = pa.RecordBatch.from_arrays(
        [rows.column(rows.schema.get_field_index(name)) for name in kept], kept
    )
    raw = write_flights(tmp_path / "raw", payload, {"train": rows, "eval": without})
    with pytest.raises(
        InputDataError, match="split 'eval': feature 'distance' .* missing from every row"
    ):
        transform(tmp_path, raw)


def test_a_fixed_shape_feature_with_missing_values_is_an_error_with_the_fix(tmp_path: Path) -> None:
    rows = flights(0, 100).to_pydict()
    rows["carrier"][3:5] = [None, None]
    [gaps] = pa.table(rows).to_batches()
    raw = write_flights(tmp_path / "raw", PayloadFormat.PARQUET, {"train": gaps})
    with pytest.raises(InputDataError, match=r"'carrier' is missing from 2 of 100 rows"):
        transform(tmp_path, raw)


def test_a_feature_whose_type_differs_from_the_schema_is_named(tmp_path: Path) -> None:
    schema = flights_schema(flights(0, 700))
    feature = tfdv.get_feature(schema, "distance")
    feature.Clear()
    feature.name, feature.type = "distance", 1
    raw = write_flights(tmp_path / "raw", PayloadFormat.PARQUET, {"train": flights(0, 100)})
    with pytest.raises(
        InputDataError, match="'distance' is .*int64.* the schema declares .*binary"
    ):
        transform(tmp_path, raw, schema)


def test_an_unknown_split_is_named(tmp_path: Path) -> None:
    raw = write_flights(tmp_path / "raw", PayloadFormat.PARQUET, {"train": flights(0, 100)})
    with pytest.raises(InputDataError, match="no split 'trian'; did you mean 'train'"):
        transform(tmp_path, raw, splits_config=SplitsConfig(analyze=("trian",)))


def test_nothing_to_analyze_is_an_error(tmp_path: Path) -> None:
    raw = write_flights(
        tmp_path / "raw", PayloadFormat.PARQUET, {"train": flights(0, 0), "eval": flights(0, 9)}
    )
    with pytest.raises(InputDataError, match=r"no row to analyze in the split\(s\) train"):
        transform(tmp_path, raw)


def test_statistics_without_rows_are_an_error_that_names_disable_statistics(
    tmp_path: Path,
) -> None:
    raw = write_flights(
        tmp_path / "raw", PayloadFormat.PARQUET, {"train": flights(0, 99), "eval": flights(0, 0)}
    )
    config = SplitsConfig(transform=("eval",))
    with pytest.raises(
        InputDataError,
        match=r'no row to transform in the split\(s\) eval.*disable_statistics="post_transform"',
    ):
        transform(tmp_path, raw, splits_config=config)
    context = transform(tmp_path, raw, splits_config=config, disable_statistics="post_transform")
    assert [(c.split, c.written) for c in context.row_counts] == [("eval", 0)]


@pytest.mark.parametrize(
    ("argument", "value", "output"),
    [
        ("materialize", False, "transformed_examples"),
        ("disable_analyzer_cache", True, "updated_analyzer_cache"),
        ("disable_statistics", "pre_transform", "pre_transform_stats"),
        ("disable_statistics", True, "post_transform_anomalies"),
    ],
)
def test_an_omitted_output_does_not_exist_and_its_use_is_rejected(
    argument: str, value: Any, output: str
) -> None:
    node = Transform(
        examples=Channel(type=Examples),
        schema=Channel(type=Schema),
        module_file=MODULE,
        **{argument: value},
    )
    with pytest.raises(
        DefinitionError, match=f"does not produce '{output}' because of {argument}={value!r}"
    ):
        node.outputs[output]


def test_a_split_without_rows_is_transformed_to_one_without_rows(tmp_path: Path) -> None:
    raw = write_flights(
        tmp_path / "raw", PayloadFormat.PARQUET, {"train": flights(0, 99), "eval": flights(0, 0)}
    )
    context = transform(tmp_path, raw, disable_statistics=True)
    assert [(c.split, c.written) for c in context.row_counts] == [("train", 99), ("eval", 0)]
