"""Declaration of ImportSchemaGen."""

from __future__ import annotations

from prodml.artifacts import Schema
from prodml.dsl.component import Component
from prodml.dsl.parameters import FilePath
from prodml.dsl.signature import Output, Parameter


class ImportSchemaGen(Component):
    """Imports a curated schema file into the pipeline.

    Args:
        schema_file: path of a tensorflow_metadata Schema as text; the node runs again if the
            file's content has changed.
    """

    execution_type = "tfx.components.schema_gen.import_schema_gen.component.ImportSchemaGen"

    schema_file: Parameter[FilePath]
    schema: Output[Schema]
