"""Declaration of ExampleValidator."""

from __future__ import annotations

from typing import Any, Literal

from prodml.artifacts import ExampleAnomalies, ExampleStatistics, Schema
from prodml.dsl.component import Component
from prodml.dsl.signature import Input, Output, Parameter


class ExampleValidator(Component):
    """Holds the statistics of every split against the schema, and lists what does not fit.

    Drift is measured against `previous_statistics` for each feature with a `drift_comparator` in
    the schema, skew against `serving_statistics` for each with a `skew_comparator`.

    Args:
        statistics: of the examples.
        schema: what they should be.
        previous_statistics: of an earlier span or run, for drift. Of several, newest first, the
            first that are not `statistics` themselves are used.
        serving_statistics: of the rows that a model is asked about, or of any other data that
            should look alike, for skew.
        include_split_pairs: which split is compared with which, as (split of `statistics`, split
            of the other); by default the splits of the same name.
        exclude_splits: splits to leave out.
        custom_validation_config: SQL conditions on the statistics, a
            `tfdv.CustomValidationConfig` or its fields as a dict.
        unchecked_severity: the severity of the anomaly for a comparator of the schema that could
            not be evaluated, "WARNING" or "ERROR". By default it is a warning if there is nothing
            to compare with, as on a first run, and an error if there is, but cannot be compared:
            other splits, other types, no values.
        fail_on: the severity from which on an anomaly fails the node: "WARNING" or "ERROR". The
            nodes that consume the examples behind `statistics` then wait for this one, and are
            skipped if it fails. By default anomalies are recorded and the run goes on.

    Raises:
        DefinitionError: include_split_pairs is empty.
    """

    execution_type = "tfx.components.example_validator.component.ExampleValidator"
    runs_beside_others = True
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
                "has no pair in include_split_pairs, so that nothing would be compared; leave it "
                "out to compare the splits of the same name"
            )
