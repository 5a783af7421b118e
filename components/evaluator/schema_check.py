"""Checks that the evaluated examples have the features that the schema requires."""

from __future__ import annotations

from prodml.artifacts import Schema
from prodml.components.evaluator.sample import Sample
from prodml.data.schemas import read_schema
from prodml.dsl.executor import ExecutorContext
from prodml.errors import ModelContractError


def check_schema(context: ExecutorContext, sample: Sample) -> None:
    """Checks the examples against the input `schema`, if it is set.

    Raises:
        ModelContractError: no row has a feature that the schema requires.
    """
    artifact = context.optional_input("schema", Schema)
    if artifact is None:
        return
    schema = read_schema(artifact.schema_path)
    required = (f.name for f in schema.feature if f.presence.min_fraction > 0)
    missing = sample.lacks(required)
    if missing:
        raise ModelContractError(
            f"{artifact.schema_path} requires the feature(s) {', '.join(missing)}, got examples "
            f"with {', '.join(sorted(sample.columns))}; evaluate on examples that have them, or "
            f"set schema to the schema of these examples"
        )
