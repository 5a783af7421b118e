"""Declaration of SchemaGen."""

from __future__ import annotations

from prodml.artifacts import ExampleStatistics, Schema
from prodml.dsl.component import Component
from prodml.dsl.signature import Input, Output, Parameter


class SchemaGen(Component):
    """Infers a schema from statistics, over all splits together.

    A first guess for a person to curate: copy it, edit it, and give it to ImportSchemaGen.

    Args:
        statistics: of the examples.
        infer_feature_shape: gives a feature that has the same number of values in every row a
            fixed shape, so that it becomes a dense tensor.
        exclude_splits: splits to leave out.
    """

    execution_type = "tfx.components.schema_gen.component.SchemaGen"

    statistics: Input[ExampleStatistics]
    infer_feature_shape: Parameter[bool] = True
    exclude_splits: Parameter[list[str]] = ()
    schema: Output[Schema]
