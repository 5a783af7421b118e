"""Finds blessings that have no effect because no node reads them."""

from __future__ import annotations

from collections.abc import Iterator

from prodml.artifacts import InfraBlessing, ModelBlessing
from prodml.compiler.spec import PipelineSpec

_VERDICTS = (ModelBlessing.type_name, InfraBlessing.type_name)


def unread_verdicts(spec: PipelineSpec) -> Iterator[str]:
    """Yields a warning for each blessing that no node reads although one has an input for it.

    The author may want this, so it is not an error.
    """
    read = {
        (channel.producer, channel.output)
        for node in spec.nodes
        for declared in node.inputs
        for channel in declared.channels
    } | {
        (condition.producer, condition.output)
        for node in spec.nodes
        for condition in node.conditions
    }
    for node in spec.nodes:
        for output in node.outputs:
            if output.type in _VERDICTS and (node.id, output.name) not in read:
                for reader, name in _unconnected_inputs(spec, output.type):
                    yield (
                        f"{node.location}: no node reads {node.id}.{output.name}, so its verdict "
                        f"has no effect; pass it to {reader} as {name}"
                    )


def _unconnected_inputs(spec: PipelineSpec, type_name: str) -> Iterator[tuple[str, str]]:
    for node in spec.nodes:
        for declared in node.inputs:
            if declared.type == type_name and not declared.channels:
                yield node.id, declared.name
