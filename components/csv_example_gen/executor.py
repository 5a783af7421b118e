"""Executor of CsvExampleGen."""

from __future__ import annotations

import functools

from prodml.artifacts import Examples
from prodml.components.example_gen.fetching import local_files
from prodml.components.example_gen.ingestion import ingest
from prodml.data import csv_files
from prodml.data.examples_layout import note_empty_columns
from prodml.dsl.executor import ExecutorContext


def execute(context: ExecutorContext) -> None:
    """Infers the column types from all files, then writes their rows."""
    files = local_files(context)
    every = csv_files.inspect([file for found in files.values() for file in found])
    note_empty_columns(context.output("examples", Examples), every.empty_columns)
    if every.empty_columns:
        context.note(f"columns without any value, not stored: {', '.join(every.empty_columns)}")
    ingest(
        context,
        {
            name: functools.partial(csv_files.read, every.of_files(found))
            for name, found in files.items()
        },
    )
