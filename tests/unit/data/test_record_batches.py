from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prodml.artifacts import Examples
from prodml.data.columns import to_example_shape
from prodml.data.examples_layout import PayloadFormat, row_count, split_files
from prodml.data.record_batches import read_record_batches, serialize_examples
from prodml.data.writers import ExamplesWriter
from prodml.errors import InputDataError, storage_error

text = st.text(st.characters(blacklist_categories=["Cs"]), max_size=5)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "i": st.none() | st.integers(-(2**63), 2**63 - 1),
            "f": st.none() | st.floats(width=32, allow_nan=False),
            "s": st.none() | text,
            "l": st.none() | st.lists(text, min_size=1, max_size=3),
        }
    ),
    min_size=1,
    max_size=20,
)
TYPES = pa.schema(
    [("i", pa.int64()), ("f", pa.float64()), ("s", pa.string()), ("l", pa.list_(pa.string()))]
)


def in_lists(row: dict[str, Any]) -> dict[str, Any]:
    def inner(value: Any) -> Any:
        return value.encode() if isinstance(value, str) else value

    return {
        name: None if value is None else [inner(v) for v in (value if name == "l" else [value])]
        for name, value in row.items()
    }


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("payload", list(PayloadFormat))
@given(table=rows, cut=st.integers(0, 20))
def test_written_rows_are_read_in_the_shape_of_tf_example(
    tmp_path: Path, payload: PayloadFormat, table: list[dict[str, Any]], cut: int
) -> None:
    examples = Examples(uri=str(tmp_path))
    batch = pa.RecordBatch.from_pylist(table, schema=TYPES)
    with ExamplesWriter(examples, ["all"], payload) as writer:
        writer.write("all", batch.slice(0, cut))
        writer.write("all", batch.slice(cut))
    assert row_count(examples, "all") == len(table)
    read = [
        {name: row.get(name) for name in TYPES.names}
        for found in read_record_batches(split_files(examples, "all"), payload, batch_size=7)
        for row in found.to_pylist()
    ]
    assert read == [in_lists(row) for row in table]


def test_tensorflow_parses_serialized_examples() -> None:
    import tensorflow as tf

    batch = to_example_shape(pa.RecordBatch.from_pydict({"a": [1, None], "s": ["x", "y"]}))
    first, second = (
        tf.train.Example.FromString(record) for record in serialize_examples(batch).to_pylist()
    )
    assert first.features.feature["a"].int64_list.value == [1]
    assert not second.features.feature["a"].int64_list.value
    assert second.features.feature["s"].bytes_list.value == [b"y"]


def test_a_type_that_tf_example_cannot_contain_is_named() -> None:
    batch = pa.RecordBatch.from_pydict({"when": pa.array([0], pa.timestamp("s"))})
    with pytest.raises(InputDataError, match=r"column 'when' has type timestamp\[s\]"):
        to_example_shape(batch)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([[1, None]], pa.list_(pa.int64())), "column 'a' has a list with a missing value"),
        (pa.array([2**63], pa.uint64()), "column 'a': Integer value 9223372036854775808 not in"),
    ],
)
def test_a_value_that_would_change_is_rejected(column: pa.Array, message: str) -> None:
    with pytest.raises(InputDataError, match=message):
        to_example_shape(pa.RecordBatch.from_arrays([column], ["a"]))


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (PayloadFormat.PARQUET, "data-00000-of-00001.parquet"),
        (PayloadFormat.TF_EXAMPLE, "data_tfrecord-00000-of-00001.gz"),
    ],
)
def test_a_full_disk_raises_the_systems_error(
    tmp_path: Path, payload: PayloadFormat, name: str
) -> None:
    (tmp_path / "Split-all").mkdir()
    (tmp_path / "Split-all" / name).symlink_to("/dev/full")
    numbers = pa.array(np.random.default_rng(1).random(200_000))
    with (
        pytest.raises(OSError, match="No space left") as caught,
        ExamplesWriter(Examples(uri=str(tmp_path)), ["all"], payload) as writer,
    ):
        writer.write("all", pa.RecordBatch.from_arrays([numbers], ["x"]))
    refused = storage_error(caught.value)
    assert refused is not None and "the disk is full" in str(refused)


@pytest.mark.parametrize("payload", list(PayloadFormat))
def test_only_the_requested_columns_are_read(tmp_path: Path, payload: PayloadFormat) -> None:
    examples = Examples(uri=str(tmp_path))
    with ExamplesWriter(examples, ["all"], payload) as writer:
        writer.write("all", pa.RecordBatch.from_pydict({"a": [1], "b": [2]}))
    files = split_files(examples, "all")
    (batch,) = read_record_batches(files, payload, columns=["b", "no"])
    assert batch.to_pydict() == {"b": [[2]]}


@pytest.mark.parametrize("payload", list(PayloadFormat))
def test_rows_are_read_even_if_no_requested_column_exists(
    tmp_path: Path, payload: PayloadFormat
) -> None:
    examples = Examples(uri=str(tmp_path))
    with ExamplesWriter(examples, ["all"], payload) as writer:
        writer.write("all", pa.RecordBatch.from_pydict({"a": [1, 2, 3]}))
    read = read_record_batches(split_files(examples, "all"), payload, columns=["no"])
    assert [(batch.num_rows, batch.num_columns) for batch in read] == [(3, 0)]


def test_a_column_without_a_value_in_a_batch_of_tf_examples_is_absent_from_it(
    tmp_path: Path,
) -> None:
    examples = Examples(uri=str(tmp_path))
    rare = pa.array([None, None, 7], pa.int64())
    with ExamplesWriter(examples, ["all"], PayloadFormat.TF_EXAMPLE) as writer:
        writer.write("all", pa.RecordBatch.from_arrays([pa.array([1, 2, 3]), rare], ["a", "rare"]))
    files = split_files(examples, "all")
    first, second = read_record_batches(files, PayloadFormat.TF_EXAMPLE, batch_size=2)
    assert first.to_pydict() == {"a": [[1], [2]]}
    assert second.to_pydict() == {"a": [[3]], "rare": [[7]]}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (PayloadFormat.PARQUET, "is not a complete Parquet file"),
        (PayloadFormat.TF_EXAMPLE, "is damaged after record"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, payload: PayloadFormat, message: str) -> None:
    examples = Examples(uri=str(tmp_path))
    with ExamplesWriter(examples, ["all"], payload) as writer:
        writer.write("all", pa.RecordBatch.from_pydict({"a": list(range(5000))}))
    (file,) = split_files(examples, "all")
    content = Path(file).read_bytes()
    Path(file).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputDataError, match=message):
        list(read_record_batches([file], payload))


def test_a_split_without_files_is_an_error_with_the_existing_splits(tmp_path: Path) -> None:
    examples = Examples(uri=str(tmp_path))
    examples.split_names = ["train"]
    with pytest.raises(InputDataError, match=r"no files in .*Split-eval; .*\['train'\]"):
        split_files(examples, "eval")
