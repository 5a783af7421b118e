"""Executor of ParquetExampleGen."""

from __future__ import annotations

import functools

from prodml.components.example_gen.fetching import local_files
from prodml.components.example_gen.ingestion import ingest
from prodml.data import parquet_files
from prodml.dsl.executor import ExecutorContext


def execute(context: ExecutorContext) -> None:
    """Checks that all files have the same columns, then writes their rows."""
    files = local_files(context)
    schema = parquet_files.inspect([file for found in files.values() for file in found])
    ingest(
        context,
        {
            name: functools.partial(parquet_files.read, found, schema)
            for name, found in files.items()
        },
    )
