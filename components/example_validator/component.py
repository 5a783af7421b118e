"""Declaration of ExampleValidator."""

from __future__ import annotations

from typing import Any, Literal

from prodml.artifacts import ExampleAnomalies, ExampleStatistics, Schema
from prodml.dsl.component import Component
from prodml.dsl.signature import Input, Output, Parameter


class ExampleValidator(Component):
    """Validates the statistics of every split against the schema, and records the anomalies.

    Drift is measured against `previous_statistics` for each feature with a `drift_comparator` in
    the schema; skew is measured against `serving_statistics` for each feature with a
    `skew_comparator`.

    Args:
        statistics: statistics of the examples to validate.
        schema: schema to validate against.
        previous_statistics: statistics of an earlier span or run, to measure drift. If there are
            several, newest first, the first one that is not `statistics` itself is used.
        serving_statistics: statistics of the rows that a model is served with, or of any other
            data that should have the same distribution, to measure skew.
        include_split_pairs: pairs of splits to compare, as (split of `statistics`, split of the
            other statistics); by default splits of the same name are compared.
        exclude_splits: splits to skip.
        custom_validation_config: SQL conditions on the statistics, a
            `tfdv.CustomValidationConfig` or its fields as a dict.
        unchecked_severity: the severity of the anomaly for a comparator of the schema that could
            not be evaluated, "WARNING" or "ERROR". By default it is a warning if there are no
            statistics to compare with, as on a first run, and an error if there are some that
            cannot be compared: other splits, other types, no values.
        fail_on: the lowest severity of an anomaly that fails the node: "WARNING" or "ERROR". The
            nodes that consume the examples behind `statistics` then wait for this node, and are
            skipped if it fails. By default anomalies are recorded and the run continues.

    Raises:
        DefinitionError: include_split_pairs is empty.
    """

    execution_type = "tfx.components.example_validator.component.ExampleValidator"
    is_thread_safe = True
    judges: tuple[str, ...] = ("statistics",)

    statistics: Input[ExampleStatistics]
    schema: Input[Schema]
    previous_statistics: Input[ExampleStatistics] | None = None
    serving_statistics: Input[ExampleStatistics] | None = None
    include_split_pairs: Parameter[list[tuple[str, str]] | None] = None
    exclude_splits: Parameter[list[str]] = ()
    custom_validation_config: Parameter[dict[str, Any] | None] = None
    unchecked_severity: Parameter[Literal["WARNING", "ERROR"] | None] = None
    fail_on: Parameter[Literal["WARNING", "ERROR"] | None] = None
    anomalies: Output[ExampleAnomalies]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        if self.parameters["fail_on"] is None:
            self.judges = ()
        if self.parameters["include_split_pairs"] == []:
            self._refuse(
                "has an empty include_split_pairs, so nothing would be compared; omit it to "
                "compare splits of the same name"
            )
