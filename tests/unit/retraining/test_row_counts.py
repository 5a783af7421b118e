"""Rows of data files are counted without ingesting them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prodml.errors import InputDataError
from prodml.retraining.row_counts import count_rows
from prodml.serving.values.tfrecords import framed


def test_rows_of_every_format_are_counted(tmp_path: Path) -> None:
    csv, parquet = tmp_path / "rows.csv", tmp_path / "rows.parquet"
    csv.write_text('name,note\na,"two\nlines"\nb,\n,c\n')
    pq.write_table(pa.table({"x": [1, 2, 3, 4]}), parquet)
    records = b"".join(framed(b"record" * n) for n in range(5))
    plain, zipped = tmp_path / "rows.tfrecord", tmp_path / "rows.gz"
    plain.write_bytes(records)
    zipped.write_bytes(gzip.compress(records))
    counts = [count_rows([str(path)]) for path in (csv, parquet, plain, zipped)]
    assert counts == [3, 4, 5, 5]
    assert count_rows(map(str, (csv, parquet, plain, zipped))) == 17


def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputDataError, match=f"rows of {path} cannot be counted"):
        count_rows([str(path)])
