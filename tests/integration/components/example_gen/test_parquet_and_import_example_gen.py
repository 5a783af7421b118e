import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from support.running import execute

from prodml.artifacts import Examples
from prodml.components.csv_example_gen.component import CsvExampleGen
from prodml.components.import_example_gen.component import ImportExampleGen
from prodml.components.parquet_example_gen.component import ParquetExampleGen
from prodml.data.examples_layout import payload_format, split_files
from prodml.data.record_batches import read_record_batches
from prodml.dsl.executor import ExecutorContext
from prodml.errors import InputDataError

TABLE = pa.table({"i": list(range(90)), "s": [None if i % 4 else f"s{i}" for i in range(90)]})


def rows_of(context: ExecutorContext, split: str) -> list[dict[str, Any]]:
    examples = context.output("examples", Examples)
    batches = read_record_batches(split_files(examples, split), payload_format(examples))
    return [row for batch in batches for row in batch.to_pylist()]


def example(value: float) -> bytes:
    made = tf.train.Example()
    if isinstance(value, int):
        made.features.feature["x"].int64_list.value.append(value)
    else:
        made.features.feature["x"].float_list.value.append(value)
    return bytes(made.SerializeToString())


def records(*contents: bytes) -> bytes:
    with tempfile.NamedTemporaryFile() as file:
        with tf.io.TFRecordWriter(file.name) as writer:
            for content in contents:
                writer.write(content)
        return Path(file.name).read_bytes()


def test_the_same_rows_are_in_the_same_splits_for_each_source(tmp_path: Path) -> None:
    for kind in ("csv", "parquet", "records"):
        (tmp_path / kind).mkdir()
    TABLE.to_pandas().to_csv(tmp_path / "csv" / "a.csv", index=False)
    pq.write_table(TABLE, tmp_path / "parquet" / "a.parquet")
    from_csv = execute(
        CsvExampleGen(input_base=str(tmp_path / "csv"), payload_format="FORMAT_TF_EXAMPLE"),
        {},
        tmp_path,
    )
    for split in ("train", "eval"):
        (file,) = split_files(from_csv.output("examples", Examples), split)
        shutil.copy(file, tmp_path / "records" / f"{split}.gz")
    from_parquet = execute(ParquetExampleGen(input_base=str(tmp_path / "parquet")), {}, tmp_path)
    from_records = execute(ImportExampleGen(input_base=str(tmp_path / "records")), {}, tmp_path)

    def train(context: ExecutorContext) -> list[tuple[int, bytes | None]]:
        rows = rows_of(context, "train")
        return sorted((row["i"][0], (row["s"] or [None])[0]) for row in rows)

    assert train(from_csv) == train(from_parquet) == train(from_records)
    assert len(rows_of(from_records, "train")) + len(rows_of(from_records, "eval")) == 90


def test_plain_and_gzipped_records_with_different_features_are_imported(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, compression, feature in (("a", "", "x"), ("b", "GZIP", "y")):
        with tf.io.TFRecordWriter(str(tmp_path / "in" / name), compression) as writer:
            for i in range(30):
                example = tf.train.Example()
                example.features.feature["i"].int64_list.value.extend([i, i + 1])
                example.features.feature[feature].bytes_list.value.append(b"v")
                writer.write(example.SerializeToString())
    context = execute(ImportExampleGen(input_base=str(tmp_path / "in")), {}, tmp_path)
    rows = rows_of(context, "train") + rows_of(context, "eval")
    assert len(rows) == 60
    assert sum(row["x"] == [b"v"] and row["y"] is None for row in rows) == 30
    assert all(len(row["i"]) == 2 for row in rows)


def test_a_feature_may_be_empty_in_the_first_file_of_records(tmp_path: Path) -> None:
    """For an empty cell, TFX writes a feature without values and without a type."""
    (tmp_path / "in").mkdir()
    for name, gates in (("a", []), ("b", [b"A1"])):
        with tf.io.TFRecordWriter(str(tmp_path / "in" / name)) as writer:
            for i in range(30):
                example = tf.train.Example()
                example.features.feature["i"].int64_list.value.append(i)
                gate = example.features.feature["gate"]
                if gates:
                    gate.bytes_list.value.extend(gates)
                writer.write(example.SerializeToString())
    context = execute(ImportExampleGen(input_base=str(tmp_path / "in")), {}, tmp_path)
    rows = rows_of(context, "train") + rows_of(context, "eval")
    assert sorted(str(row["gate"]) for row in rows) == ["None"] * 30 + ["[b'A1']"] * 30


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_column_may_be_empty_in_some_parquet_files(order: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    empty = pa.table({"n": list(range(30)), "gate": pa.nulls(30)})
    pq.write_table(empty, tmp_path / "in" / f"{order[0]}.parquet")
    full = pa.table({"n": list(range(30)), "gate": list(range(30))})
    pq.write_table(full, tmp_path / "in" / f"{order[1]}.parquet")
    context = execute(ParquetExampleGen(input_base=str(tmp_path / "in")), {}, tmp_path)
    rows = rows_of(context, "train") + rows_of(context, "eval")
    assert sum(row["gate"] is None for row in rows) == 30
    assert sum(row["gate"] == row["n"] for row in rows) == 30


def test_categories_are_read_as_their_values(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, values in (("a", ["x", None] * 30), ("b", ["y", "x"] * 30)):
        table = pa.table({"n": list(range(60)), "c": pa.array(values).dictionary_encode()})
        pq.write_table(table, tmp_path / "in" / f"{name}.parquet")
    context = execute(ParquetExampleGen(input_base=str(tmp_path / "in")), {}, tmp_path)
    rows = rows_of(context, "train") + rows_of(context, "eval")
    found = [value for row in rows for value in row["c"] or [None]]
    assert {value: found.count(value) for value in set(found)} == {b"x": 60, b"y": 30, None: 30}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no records"),
        (b"not records at all, but long enough", r"a is damaged after record 0: corrupted record"),
        (records(example(1), example(2))[:-3], r"a is damaged after record 1: truncated record"),
        (records(example(1), b"\xff no"), r"a, record 2: Unable to parse example; write each"),
        (records(example(1), example(2), example(0.5)), "a, record 3: Feature had wrong type"),
        (records(b"", b""), "no record of .*a has a feature"),
    ],
)
def test_a_file_that_is_not_tfrecord_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(content)
    with pytest.raises(InputDataError, match=message):
        execute(ImportExampleGen(input_base=str(tmp_path / "in")), {}, tmp_path)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([None], "is not a complete Parquet file"),
        ([pa.table({"a": pa.array([], pa.int64())})], "has no rows"),
        ([pa.table({"a": [1]}), pa.table({"b": [1]})], "differ: only .* has 'a'"),
        ([pa.table({"a": [1]}), pa.table({"a": ["x"]})], "column 'a' is int64 in .* and string"),
        (
            [pa.table({"a": pa.array([0], pa.timestamp("s"))})],
            r"column 'a' has type timestamp\[ms\]",
        ),
        (
            [pa.table({"a": [[1, None]]})],
            r"0\.parquet: column 'a' has a list with a missing value",
        ),
    ],
)
def test_bad_parquet_files_are_named(tmp_path: Path, tables: list[Any], message: str) -> None:
    (tmp_path / "in").mkdir()
    for number, table in enumerate(tables):
        path = tmp_path / "in" / f"{number}.parquet"
        if table is None:
            path.write_bytes(b"PAR1 and nothing else")
        else:
            pq.write_table(table, path)
    with pytest.raises(InputDataError, match=message):
        execute(ParquetExampleGen(input_base=str(tmp_path / "in")), {}, tmp_path)
