"""Parquet or TFRecord: what each costs to write, to read for statistics, and to train from.

.venv/bin/python tests/benchmarks/payload_formats.py DIRECTORY_WITH_CSV_FILES
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import tensorflow as tf
from tensorflow_metadata.proto.v0.schema_pb2 import Schema
from tfx_bsl.public.tfxio import TensorFlowDatasetOptions

from prodml.artifacts import Examples
from prodml.data import csv_files
from prodml.data.examples_layout import PayloadFormat, split_files
from prodml.data.record_batches import read_record_batches
from prodml.data.tf_dataset import tf_dataset
from prodml.data.writers import ExamplesWriter


def main(directory: str) -> None:
    files = sorted(str(path) for path in Path(directory).rglob("*.csv"))
    table = csv_files.inspect(files)
    for payload in PayloadFormat:
        with tempfile.TemporaryDirectory() as uri:
            examples = Examples(uri=uri)
            started = time.perf_counter()
            with ExamplesWriter(examples, ["all"], payload) as writer:
                for batch in csv_files.read(table):
                    writer.write("all", batch)
            written = time.perf_counter() - started
            found = split_files(examples, "all")
            started = time.perf_counter()
            rows = sum(batch.num_rows for batch in read_record_batches(found, payload))
            read = time.perf_counter() - started
            first = next(read_record_batches(found, payload))
            schema = _schema(first)
            options = TensorFlowDatasetOptions(batch_size=256, num_epochs=1)
            started = time.perf_counter()
            for _ in tf_dataset(found, payload, options, schema):
                pass
            epoch = time.perf_counter() - started
            size = sum(Path(file).stat().st_size for file in found)
            print(
                f"{payload}: {rows:,} rows, {size / 1e6:.1f} MB, write {written:.2f} s, "
                f"read {read:.2f} s, first epoch of tf.data {epoch:.2f} s"
            )


def _schema(batch: pa.RecordBatch) -> Schema:
    types = {pa.int64(): "INT", pa.float32(): "FLOAT", pa.large_binary(): "BYTES"}
    schema = Schema()
    for field in batch.schema:
        schema.feature.add(name=field.name, type=types[field.type.value_type])
    return schema


if __name__ == "__main__":
    tf.get_logger().setLevel("ERROR")
    main(sys.argv[1])
