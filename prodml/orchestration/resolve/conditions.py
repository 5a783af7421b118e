"""Evaluates the conditions of a node."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from prodml.artifacts import Artifact, PropertyValue
from prodml.compiler.spec import ConditionSpec, NodeSpec
from prodml.errors import ResolutionError
from prodml.orchestration.resolve.inputs import Artifacts

_OPERATORS: Mapping[str, Callable[[PropertyValue, PropertyValue], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def unmet_condition(node: NodeSpec, produced: Mapping[str, Artifacts]) -> str | None:
    """Describes the first condition that is not met; None if all are met.

    Args:
        produced: outputs by node id of every node upstream.

    Raises:
        ResolutionError: the artifact lacks the property, or its value has another type.
    """
    for condition in node.conditions:
        found = _found(node, condition, produced)
        try:
            is_met = _OPERATORS[condition.comparison](found, condition.value)
        except TypeError:
            raise ResolutionError(
                f"the condition {_text(condition)} compares {found!r} with {condition.value!r} "
                f"({node.location})"
            ) from None
        if not is_met:
            return f"condition not met: {_text(condition)}, it is {found!r}"
    return None


def _found(
    node: NodeSpec, condition: ConditionSpec, produced: Mapping[str, Artifacts]
) -> PropertyValue:
    artifacts = produced[condition.producer].get(condition.output, ())
    if condition.index >= len(artifacts):
        raise ResolutionError(
            f"the condition {_text(condition)} has no artifact to check ({node.location})"
        )
    artifact = artifacts[condition.index]
    values = _values(artifact, condition.place)
    if condition.name not in values:
        raise ResolutionError(
            f"the condition {_text(condition)}: the artifact has no {condition.place} "
            f"{condition.name!r}; it has {sorted(values)} ({node.location})"
        )
    return values[condition.name]


def _values(artifact: Artifact, place: str) -> Mapping[str, PropertyValue]:
    match place:
        case "property":
            return artifact.properties
        case "custom_property":
            return artifact.custom_properties
        case _:
            return {"": artifact.uri}


def _text(condition: ConditionSpec) -> str:
    name = f" {condition.name}" if condition.name else ""
    where = f"{condition.producer}.{condition.output}[{condition.index}]"
    return f"{where} {condition.place}{name} {condition.comparison} {condition.value!r}"
