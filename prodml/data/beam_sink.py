"""Writes a PCollection of record batches as one split of an Examples artifact."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from prodml.artifacts import Examples, split_directory
from prodml.data.examples_layout import PayloadFormat
from prodml.data.writers import ExamplesWriter

_SHARD_PREFIX = ".shard-"


class WriteRecordBatches(beam.PTransform):  # type: ignore[misc]  # Beam ships no types
    """Writes one file per bundle to `Split-<split>/`, and outputs the number of rows written.

    Files get their final names when all are complete; files of failed attempts of a bundle are
    removed. The same bundles get the same names.

    Args:
        uri: the directory of the Examples artifact.
        split: the split to write.
        payload: format of the files.
    """

    def __init__(self, uri: str, split: str, payload: PayloadFormat) -> None:
        super().__init__()
        self._uri = uri
        self._split = split
        self._payload = payload

    def expand(self, batches: Any) -> Any:
        shards = batches | "Shards" >> beam.ParDo(
            _WriteShard(self._uri, self._split, self._payload)
        )
        # A side input, because combining all shards takes five more stages on the local runner.
        return (
            batches.pipeline
            | "Once" >> beam.Create([self._uri], reshuffle=False)
            | "Publish"
            >> beam.Map(_publish, beam.pvalue.AsList(shards), self._split, self._payload)
        )


class _WriteShard(beam.DoFn):  # type: ignore[misc]  # Beam ships no types
    def __init__(self, uri: str, split: str, payload: PayloadFormat) -> None:
        self._uri = uri
        self._split = split
        self._payload = payload
        self._shard: str | None = None
        self._writer: ExamplesWriter | None = None

    def start_bundle(self) -> None:
        self._shard = self._writer = None

    def process(self, batch: pa.RecordBatch) -> None:
        if self._writer is None:
            self._shard = os.path.join(
                self._uri, f"{_SHARD_PREFIX}{self._split}-{uuid.uuid4().hex}"
            )
            self._writer = _open(self._shard, self._split, self._payload)
        self._writer.write(self._split, batch)

    def finish_bundle(self) -> Iterator[Any]:
        if self._writer is None:
            return
        self._writer.__exit__(None, None, None)
        window = GlobalWindow()
        yield WindowedValue(
            (self._shard, self._writer.rows[self._split]), window.max_timestamp(), [window]
        )


def _open(shard: str, split: str, payload: PayloadFormat) -> ExamplesWriter:
    os.makedirs(shard)
    return ExamplesWriter(Examples(uri=shard), [split], payload).__enter__()


def _publish(
    uri: str, shards: Sequence[tuple[str, int]], split: str, payload: PayloadFormat
) -> int:
    if not shards:
        return _publish_empty(uri, split, payload)
    files = [_only_file(shard, split) for shard, _ in shards]
    if len(files) > 1:
        files.sort(key=_digest)
    directory = split_directory(uri, split)
    os.makedirs(directory, exist_ok=True)
    for number, file in enumerate(files):
        stem = os.path.basename(file).partition("-")[0]
        name = f"{stem}-{number:05d}-of-{len(files):05d}{payload.suffix}"
        os.replace(file, os.path.join(directory, name))
    for entry in os.listdir(uri):
        if entry.startswith(f"{_SHARD_PREFIX}{split}-"):
            shutil.rmtree(os.path.join(uri, entry))
    return sum(rows for _, rows in shards)


def _publish_empty(uri: str, split: str, payload: PayloadFormat) -> int:
    with ExamplesWriter(Examples(uri=uri), [split], payload) as writer:
        writer.write(split, pa.RecordBatch.from_arrays([], names=[]))
    return 0


def _only_file(shard: str, split: str) -> str:
    directory = split_directory(shard, split)
    [name] = os.listdir(directory)
    return os.path.join(directory, name)


def _digest(file: str) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
