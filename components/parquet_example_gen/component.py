"""Declaration of ParquetExampleGen."""

from __future__ import annotations

from prodml.components.example_gen.component import FileBasedExampleGen


class ParquetExampleGen(FileBasedExampleGen):
    """Reads Parquet files and splits their rows.

    Arguments are as in FileBasedExampleGen.
    """
