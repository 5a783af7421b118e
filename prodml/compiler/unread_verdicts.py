"""Verdicts on a model that stop nothing because no node reads them."""

from __future__ import annotations

from collections.abc import Iterator

from prodml.artifacts import InfraBlessing, ModelBlessing
from prodml.compiler.spec import PipelineSpec

_VERDICTS = (ModelBlessing.type_name, InfraBlessing.type_name)


def unread_verdicts(spec: PipelineSpec) -> Iterator[str]:
    """A sentence for each blessing that no node reads, though one has an input for it.

    Such a pipeline may be meant, so that it is no error.
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
                for reader, name in _open_inputs(spec, output.type):
                    yield (
                        f"{node.location}: no node reads {node.id}.{output.name}, so that its "
                        f"verdict stops nothing; pass it to {reader} as {name}"
                    )


def _open_inputs(spec: PipelineSpec, type_name: str) -> Iterator[tuple[str, str]]:
    for node in spec.nodes:
        for declared in node.inputs:
            if declared.type == type_name and not declared.channels:
                yield node.id, declared.name
