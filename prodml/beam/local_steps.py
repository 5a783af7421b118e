"""Converts a batch pipeline to steps, in an order in which one process can run them.

Steps run in rounds. In a round, every element is pushed through all steps at once, so data that is
only read, changed and written is never stored in memory. A step that needs all of its input first
starts a new round: a group or combination by key, or the use of a side input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prodml.beam.reflection import root_of
from prodml.beam.supported_steps import Kind, Unsupported, kind_of


@dataclass
class Step:
    """A transform that runs as one unit.

    Attributes:
        label: full label of the transform in the pipeline.
        inputs: input PCollections.
        sides: PCollections of side inputs.
        outputs: output PCollections by tag; the main output has the tag None.
        input_round: the round in which the step reads its inputs.
        output_round: the round in which the step produces its outputs; a later round if the step
            needs all inputs first.
    """

    kind: Kind
    label: str
    transform: Any
    inputs: tuple[Any, ...]
    sides: tuple[Any, ...]
    outputs: Mapping[Any, Any]
    input_round: int = 0
    output_round: int = 0

    @property
    def is_barrier(self) -> bool:
        return self.kind in (Kind.GROUP, Kind.COMBINE)


def steps_of(pipeline: Any) -> list[Step] | Unsupported:
    """The steps of a pipeline with their rounds, each after the steps that it depends on.

    Returns:
        The reason why FnApiRunner must run the pipeline, if the local runner does not support one
        of its transforms.
    """
    steps = []
    for node, kind in _nodes(root_of(pipeline)):
        if isinstance(kind, Unsupported):
            return kind
        steps.append(
            Step(
                kind,
                node.full_label,
                node.transform,
                () if kind in (Kind.IMPULSE, Kind.READ) else tuple(node.inputs),
                tuple(side.pvalue for side in node.side_inputs),
                dict(node.outputs),
            )
        )
    ordered = _ordered(steps)
    if not isinstance(ordered, Unsupported):
        _set_rounds(ordered)
    return ordered


def _nodes(node: Any) -> Iterator[tuple[Any, Kind | Unsupported]]:
    """The transforms that run as one unit; other composites are replaced by their parts."""
    kind = kind_of(node)
    if kind is not None:
        yield node, kind
        return
    for part in node.parts:
        yield from _nodes(part)


def _ordered(steps: list[Step]) -> list[Step] | Unsupported:
    """Sorts the steps topologically."""
    producers = {output: step for step in steps for output in step.outputs.values()}
    ordered: dict[int, Step] = {}
    pending = list(reversed(steps))
    while pending:
        step = pending[-1]
        if id(step) in ordered:
            pending.pop()
            continue
        needed = (*step.inputs, *step.sides)
        if any(collection not in producers for collection in needed):
            return Unsupported(f"{step.label!r} reads an input that no step produces")
        missing = [p for c in needed if id(p := producers[c]) not in ordered]
        if missing:
            pending += missing
            continue
        ordered[id(step)] = pending.pop()
    return list(ordered.values())


def _set_rounds(steps: list[Step]) -> None:
    producers = {output: step for step in steps for output in step.outputs.values()}
    for step in steps:
        taken = [producers[collection].output_round for collection in step.inputs]
        known = [producers[collection].output_round + 1 for collection in step.sides]
        step.input_round = max(taken + known, default=0)
        step.output_round = step.input_round + step.is_barrier
    # An output that is needed only in a later round is produced then, so it need not be stored.
    latest: dict[int, int] = {}
    for step in reversed(steps):
        if id(step) in latest:
            step.output_round = max(step.output_round, latest[id(step)])
            if not step.is_barrier:
                step.input_round = step.output_round
        needed_in = [(collection, step.input_round) for collection in step.inputs]
        needed_in += [(collection, step.input_round - 1) for collection in step.sides]
        for collection, number in needed_in:
            producer = id(producers[collection])
            latest[producer] = min(latest.get(producer, number), number)
