"""A Beam source of record batches: the graph contains only file names, never data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa

from prodml.data.examples_layout import PayloadFormat
from prodml.data.record_batches import BATCH_SIZE, read_record_batches


class ReadRecordBatches(beam.PTransform):  # type: ignore[misc]  # Beam ships no types
    """Reads record batches in the shape of tf.Example; see `read_record_batches`."""

    def __init__(
        self,
        files: Sequence[str],
        payload: PayloadFormat,
        columns: Sequence[str] | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        super().__init__()
        self._files = list(files)
        self._read = _Read(payload, columns, batch_size)

    def expand(self, begin: Any) -> Any:
        return (
            begin
            | "Files" >> beam.Create(self._files, reshuffle=False)
            | "Read" >> beam.ParDo(self._read).with_output_types(pa.RecordBatch)
        )


class _Read(beam.DoFn):  # type: ignore[misc]  # Beam ships no types
    def __init__(
        self, payload: PayloadFormat, columns: Sequence[str] | None, batch_size: int
    ) -> None:
        self._payload = payload
        self._columns = columns
        self._batch_size = batch_size

    def process(self, file: str) -> Iterator[Any]:
        yield from read_record_batches(
            [file], self._payload, columns=self._columns, batch_size=self._batch_size
        )
