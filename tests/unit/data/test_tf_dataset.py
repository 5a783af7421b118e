"""prodml's dataset compared with tfx_bsl's on the same rows."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0.schema_pb2 import Schema
from tfx_bsl.public.tfxio import (
    RecordBatchesOptions,
    TensorFlowDatasetOptions,
    TFExampleRecord,
)

from prodml.artifacts import Examples
from prodml.data.examples_layout import PayloadFormat, split_files
from prodml.data.tf_dataset import record_batch_iterator, tf_dataset
from prodml.data.writers import ExamplesWriter
from prodml.errors import InputDataError

ROWS = 37
SCHEMA = text_format.Parse(
    """
    feature { name: "id" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
    feature { name: "pair" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 2 } } }
    feature { name: "scalar" type: INT presence { min_fraction: 1 } shape { } }
    feature { name: "text" type: BYTES }
    feature { name: "several" type: INT }
    feature { name: "label" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
    """,
    Schema(),
)


@pytest.fixture(scope="module", params=list(PayloadFormat))
def written(request: Any, tmp_path_factory: Any) -> tuple[list[str], PayloadFormat]:
    return write(tmp_path_factory.mktemp("examples"), request.param), request.param


@pytest.fixture(scope="module")
def records(tmp_path_factory: Any) -> list[str]:
    return write(tmp_path_factory.mktemp("records"), PayloadFormat.TF_EXAMPLE)


def write(directory: Path, payload: PayloadFormat) -> list[str]:
    numbers = range(ROWS)
    batch = pa.RecordBatch.from_pydict(
        {
            "id": pa.array(numbers, pa.int64()),
            "pair": pa.array([[i, i / 2] for i in numbers], pa.list_(pa.float32())),
            "scalar": pa.array([i * i for i in numbers], pa.int64()),
            "text": pa.array([None if i % 3 else f"é{i}" for i in numbers]),
            "several": pa.array(
                [None if i % 5 == 0 else list(range(i % 4 + 1)) for i in numbers],
                pa.list_(pa.int64()),
            ),
            "label": pa.array([i % 2 for i in numbers], pa.int64()),
            "unknown": pa.array(numbers, pa.int64()),
        }
    )
    examples = Examples(uri=str(directory))
    with ExamplesWriter(examples, ["all"], payload) as writer:
        writer.write("all", batch.slice(0, 20))
        writer.write("all", batch.slice(20))
    return split_files(examples, "all")


def plain(value: Any) -> Any:
    """A comparable form of a tensor: kind, shape and values."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(plain(inner) for inner in value)
    if isinstance(value, tf.SparseTensor):
        shape = value.dense_shape.numpy().tolist()
        return ("sparse", shape, value.indices.numpy().tolist(), value.values.numpy().tolist())
    return ("dense", value.dtype.name, value.numpy().tolist())


def all_ids(dataset: tf.data.Dataset) -> list[int]:
    return [int(i) for batch in dataset for i in tf.reshape(batch["id"], [-1])]


@pytest.mark.parametrize(
    "options",
    [
        {"num_epochs": 1},
        {"num_epochs": 1, "label_key": "label"},
        {"num_epochs": 2, "batch_size": 10},
        {"num_epochs": 1, "drop_final_batch": True},
        {"num_epochs": 3, "batch_size": 100},
    ],
)
def test_unshuffled_batches_equal_those_of_tfx_bsl(
    written: tuple[list[str], PayloadFormat], records: list[str], options: dict[str, Any]
) -> None:
    files, payload = written
    chosen = TensorFlowDatasetOptions(**{"batch_size": 8, "shuffle": False, **options})
    ours = list(map(plain, tf_dataset(files, payload, chosen, SCHEMA)))
    theirs = TFExampleRecord(records, schema=SCHEMA).TensorFlowDataset(chosen)
    assert ours == list(map(plain, theirs))


def test_endless_epochs_have_only_complete_batches(
    written: tuple[list[str], PayloadFormat],
) -> None:
    options = TensorFlowDatasetOptions(batch_size=8, shuffle=False)
    sizes = [len(batch["id"]) for batch in tf_dataset(*written, options, SCHEMA).take(20)]
    assert sizes == [8] * 20


def test_an_epoch_is_a_permutation_determined_by_the_seed(
    written: tuple[list[str], PayloadFormat],
) -> None:
    def ids(seed: int, epochs: int = 1) -> list[int]:
        options = TensorFlowDatasetOptions(batch_size=8, num_epochs=epochs, shuffle_seed=seed)
        return all_ids(tf_dataset(*written, options, SCHEMA))

    assert sorted(ids(1)) == list(range(ROWS))
    assert ids(1) != list(range(ROWS))
    assert ids(1) == ids(1)
    assert ids(1) != ids(2)
    twice = ids(1, epochs=2)
    assert twice[:ROWS] != twice[ROWS:]
    assert sorted(twice[ROWS:]) == list(range(ROWS))


def test_all_rows_are_shuffled_regardless_of_the_buffer_size(
    written: tuple[list[str], PayloadFormat],
) -> None:
    options = TensorFlowDatasetOptions(
        batch_size=8, num_epochs=1, shuffle_buffer_size=1, shuffle_seed=1
    )
    (first, *_) = tf_dataset(*written, options, SCHEMA)
    assert max(first["id"].numpy().ravel()) > ROWS // 2


def test_files_without_rows_are_named(tmp_path: Path) -> None:
    examples = Examples(uri=str(tmp_path))
    with ExamplesWriter(examples, ["all"], PayloadFormat.PARQUET) as writer:
        writer.write("all", pa.RecordBatch.from_pydict({"id": pa.array([], pa.int64())}))
    files = split_files(examples, "all")
    with pytest.raises(InputDataError, match="no rows in .*data-00000"):
        tf_dataset(files, PayloadFormat.PARQUET, TensorFlowDatasetOptions(batch_size=8), SCHEMA)


def test_columns_of_a_row_stay_together_when_shuffled(
    written: tuple[list[str], PayloadFormat],
) -> None:
    options = TensorFlowDatasetOptions(batch_size=8, num_epochs=1)
    for batch in tf_dataset(*written, options, SCHEMA):
        for i, pair, scalar in zip(batch["id"], batch["pair"], batch["scalar"], strict=True):
            assert int(scalar) == int(i[0]) ** 2
            assert pair.numpy().tolist() == [float(i[0]), float(i[0]) / 2]


def test_a_missing_label_is_named(written: tuple[list[str], PayloadFormat]) -> None:
    options = TensorFlowDatasetOptions(batch_size=8, label_key="lable")
    with pytest.raises(InputDataError, match="'lable' is not in the schema; did you mean 'label'"):
        tf_dataset(*written, options, SCHEMA)


def test_a_feature_of_another_type_is_an_error(
    written: tuple[list[str], PayloadFormat],
) -> None:
    schema = Schema()
    schema.feature.add(name="id", type="FLOAT")
    options = TensorFlowDatasetOptions(batch_size=8)
    with pytest.raises(InputDataError, match="'id': expected float as in the schema, got int64"):
        tf_dataset(*written, options, schema)


def test_record_batches_have_the_schemas_columns(
    written: tuple[list[str], PayloadFormat],
) -> None:
    options = RecordBatchesOptions(batch_size=10, shuffle=False, num_epochs=1)
    batches = list(record_batch_iterator(*written, options, SCHEMA))
    assert [batch.num_rows for batch in batches] == [10, 10, 10, 7]
    assert batches[0].schema.names == [feature.name for feature in SCHEMA.feature]
    assert [row for b in batches for row in b.column("id").to_pylist()] == [
        [i] for i in range(ROWS)
    ]
