"""Executor of ImportSchemaGen."""

from __future__ import annotations

from prodml.artifacts import Schema
from prodml.components.import_schema_gen.schema_file import read_schema_file
from prodml.dsl.executor import ExecutorContext


def execute(context: ExecutorContext) -> None:
    text = read_schema_file(context.parameters["schema_file"])
    # The text is copied unchanged to keep the comments and the order of a curated schema.
    with open(context.output("schema", Schema).schema_path, "w", encoding="utf-8") as file:
        file.write(text)
