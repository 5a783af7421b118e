"""Reads the rows to analyze and the rows to transform, in the columns of the schema.

All data of one step is read by one Beam source, which on the local runner is one bundle in the
order of the files. A Flatten of several sources has no order, so sums of floats would differ in
their last bits from run to run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa

from prodml.components.transform.datasets import Dataset, Datasets
from prodml.components.transform.raw_features import SPLIT_COLUMN, RawFeatures
from prodml.data.examples_layout import PayloadFormat
from prodml.data.record_batches import read_record_batches


class AnalyzedSources:
    """Reads the rows to analyze; several steps share the same read."""

    def __init__(self, pipeline: Any, features: RawFeatures) -> None:
        self._pipeline = pipeline
        self._features = features
        self._read: dict[tuple[Dataset, ...], Any] = {}

    def read(self, datasets: tuple[Dataset, ...]) -> Any:
        """The batches of some datasets, in the order of the datasets."""
        if datasets not in self._read:
            label = ", ".join(dataset.key for dataset in datasets)
            self._read[datasets] = (
                self._pipeline
                | f"FilesToAnalyze[{label}]" >> beam.Create(_files(datasets), reshuffle=False)
                | f"ReadToAnalyze[{label}]"
                >> beam.FlatMap(_read, datasets[0].payload, self._features).with_output_types(
                    pa.RecordBatch
                )
            )
        return self._read[datasets]


class ReadSplits(beam.PTransform):  # type: ignore[misc]  # Beam ships no types
    """Reads the rows to transform, with SPLIT_COLUMN, which Transform passes through."""

    def __init__(self, datasets: Datasets, features: RawFeatures) -> None:
        super().__init__()
        self._files = _files(datasets.transform)
        self._payload = datasets.payload
        self._features = features

    def expand(self, begin: Any) -> Any:
        return (
            begin
            | "Files" >> beam.Create(self._files, reshuffle=False)
            | "Read"
            >> beam.FlatMap(_read_with_split, self._payload, self._features).with_output_types(
                pa.RecordBatch
            )
        )


def split_of(batch: pa.RecordBatch) -> str:
    """The split of a batch's rows."""
    [split] = batch.column(batch.schema.get_field_index(SPLIT_COLUMN))[0].as_py()
    return str(split.decode())


def without_split(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without SPLIT_COLUMN."""
    kept = [i for i, name in enumerate(batch.schema.names) if name != SPLIT_COLUMN]
    return pa.RecordBatch.from_arrays(
        [batch.column(i) for i in kept], schema=pa.schema([batch.schema.field(i) for i in kept])
    )


def _files(datasets: tuple[Dataset, ...]) -> list[tuple[str, str]]:
    return [(dataset.split, file) for dataset in datasets for file in dataset.files]


def _read(
    split_and_file: tuple[str, str], payload: PayloadFormat, features: RawFeatures
) -> Iterator[pa.RecordBatch]:
    split, file = split_and_file
    for batch in read_record_batches([file], payload):
        yield features.conform(batch, split)


def _read_with_split(
    split_and_file: tuple[str, str], payload: PayloadFormat, features: RawFeatures
) -> Iterator[pa.RecordBatch]:
    for batch in _read(split_and_file, payload, features):
        yield features.with_split(batch, split_and_file[0])
