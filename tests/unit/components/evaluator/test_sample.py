"""The sample finds the columns of all rows, and reads only as much as necessary."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from prodml.components.evaluator.sample import Sample


def test_a_column_that_only_later_rows_have_is_found() -> None:
    sample = Sample(_batch("hour"), [_batch("hour"), _batch("gate", "hour")])
    assert sample.columns == {"hour"}
    assert sample.lacks(["gate", "hour"]) == []
    assert sample.columns == {"gate", "hour"}
    assert sample.column("gate").to_pylist() == [[1]]


def test_columns_that_no_row_has_are_listed() -> None:
    sample = Sample(_batch("hour"), [_batch("gate")])
    assert sample.lacks(["seats", "hour", "price"]) == ["price", "seats"]


def test_known_columns_cause_no_further_reads() -> None:
    def fails() -> Iterator[pa.RecordBatch]:
        raise AssertionError("read another batch")
        yield

    assert Sample(_batch("hour"), fails()).lacks(["hour"]) == []


def _batch(*columns: str) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({name: pa.array([[1]]) for name in columns})
