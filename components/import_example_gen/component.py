"""Declaration of ImportExampleGen."""

from __future__ import annotations

from prodml.components.example_gen.component import FileBasedExampleGen


class ImportExampleGen(FileBasedExampleGen):
    """Reads TFRecord files of tf.Example, plain or gzipped, and splits their rows.

    Arguments are as in FileBasedExampleGen.
    """

    execution_type = "tfx.components.example_gen.import_example_gen.component.ImportExampleGen"
