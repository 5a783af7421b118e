"""Declaration of SchemaGen."""

from __future__ import annotations

from prodml.artifacts import ExampleStatistics, Schema
from prodml.dsl.component import Component
from prodml.dsl.signature import Input, Output, Parameter


class SchemaGen(Component):
    """Infers one schema from the statistics of all splits.

    The schema is a draft to review: copy it, edit it, and import it with ImportSchemaGen.

    Args:
        statistics: statistics of the examples.
        infer_feature_shape: whether a feature with the same number of values in every row gets a
            fixed shape, so that it becomes a dense tensor.
        exclude_splits: splits to skip.
    """

    execution_type = "tfx.components.schema_gen.component.SchemaGen"

    statistics: Input[ExampleStatistics]
    infer_feature_shape: Parameter[bool] = True
    exclude_splits: Parameter[list[str]] = ()
    schema: Output[Schema]
