"""Declaration of CsvExampleGen."""

from __future__ import annotations

from prodml.components.example_gen.component import FileBasedExampleGen


class CsvExampleGen(FileBasedExampleGen):
    """Reads CSV files (RFC 4180) and splits their rows.

    Arguments are as in FileBasedExampleGen.
    """

    execution_type = "tfx.components.example_gen.csv_example_gen.component.CsvExampleGen"
