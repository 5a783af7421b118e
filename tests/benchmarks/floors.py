"""The least that each step of the flights pipeline could take on this machine.

    .venv/bin/python tests/benchmarks/run.py --rows 15000 --only prodml
    .venv/bin/python tests/benchmarks/floors.py --rows 15000

Works on what the benchmark left, with libraries that are imported already.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import tensorflow as tf
import typer
from rich.console import Console
from rich.table import Table
from systems import REPOSITORY

BATCH, STEPS = 512, 1000


def main(
    rows: Annotated[int, typer.Option(help="Which of the benchmark's runs.")] = 15_000,
    work_dir: Annotated[Path, typer.Option(help="The benchmark's scratch directory.")] = REPOSITORY
    / ".prodml"
    / "benchmarks",
) -> None:
    """Prints the seconds of each floor."""
    csv = work_dir / f"data-{rows}" / "span-01" / "flights.csv"
    root = work_dir / f"prodml-{rows}" / "home" / "artifacts" / "flights"
    raw = pa.csv.read_csv(csv)
    encoded = list(root.glob("CsvExampleGen/examples/*/Split-*/*.parquet"))
    [train] = root.glob("Transform/transformed_examples/*/Split-train/*.parquet")
    [model] = root.glob("Trainer/model/*/Format-Serving")
    served = tf.saved_model.load(model).signatures["serving_raw"]
    columns = {
        name: missing(spec, rows) for name, spec in served.structured_input_signature[1].items()
    }
    features = {name: numbers(column) for name, column in table_of(train).items()}
    floors: dict[str, Callable[[], Any]] = {
        "CsvExampleGen: reading the CSV with pyarrow": lambda: pa.csv.read_csv(csv),
        "CsvExampleGen: writing it as one Parquet file": lambda: pq.write_table(
            raw, work_dir / "floor.parquet", compression="zstd"
        ),
        "StatisticsGen: reading the Parquet files": lambda: [pq.read_table(f) for f in encoded],
        "StatisticsGen: numpy's moments, quantiles and distinct values": lambda: statistics(raw),
        "Transform: a mean, a deviation and a scaled copy a column": lambda: scaled(raw),
        "Trainer: as many steps of the same layers in bare Keras": lambda: train_bare(features),
        "Evaluator: one call of the SavedModel on all rows": lambda: served(**columns),
    }
    table = Table("", "seconds", title=f"Floors at {rows:,} rows")
    for name, floor in floors.items():
        floor()
        started = time.perf_counter()
        floor()
        table.add_row(name, f"{time.perf_counter() - started:.3f}")
    Console().print(table)


def table_of(file: Path) -> dict[str, Any]:
    table = pq.read_table(file)
    return dict(zip(table.column_names, table.columns, strict=True))


def numbers(column: Any) -> Any:
    flat = column.combine_chunks()
    while pa.types.is_list(flat.type) or pa.types.is_large_list(flat.type):
        flat = flat.flatten()
    return np.asarray(flat, np.float32)


def missing(spec: Any, rows: int) -> Any:
    if spec.dtype == tf.string:
        return tf.fill([rows, 1], "")
    return tf.fill([rows, 1], tf.cast(0, spec.dtype))


def numeric(table: Any) -> list[Any]:
    return [
        column.to_numpy().astype(np.float64)
        for column in table.columns
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    ]


def statistics(table: Any) -> None:
    for column in numeric(table):
        np.nanmean(column), np.nanstd(column), np.nanquantile(column, np.linspace(0, 1, 11))
        np.histogram(column[~np.isnan(column)], 10)
    for column in table.columns:
        if pa.types.is_string(column.type):
            column.value_counts()


def scaled(table: Any) -> list[Any]:
    return [(c - np.nanmean(c)) / (np.nanstd(c) or 1) for c in numeric(table)]


def train_bare(features: dict[str, Any]) -> None:
    label = features["is_late"]
    inputs = np.stack(
        [v for k, v in features.items() if k != "is_late" and len(v) == len(label)], 1
    )
    batches = tf.data.Dataset.from_tensor_slices((inputs, label)).batch(BATCH).cache().repeat()
    hidden = given = keras.Input([inputs.shape[1]])
    for units in (96, 48):
        hidden = keras.layers.Dense(units, activation="relu")(hidden)
        hidden = keras.layers.Dropout(0.3)(hidden)
    model = keras.Model(given, keras.layers.Dense(1, activation="sigmoid")(hidden))
    model.compile("adamw", "binary_crossentropy", steps_per_execution=25, jit_compile=False)
    model.fit(batches, steps_per_epoch=STEPS, verbose=0)


if __name__ == "__main__":
    typer.run(main)
