"""A batch pipeline as steps in the order in which one process can run them.

Steps run in rounds. In a round every element is pushed through all steps at once, so data that is
only read, changed and written is never held. A new round begins where a step needs all of
something first: a group or combination by key, or a side input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prodml.beam.local_claims import Kind, Unclaimed, kind_of
from prodml.beam.reflection import root_of


@dataclass
class Step:
    """A transform that is run as one.

    Attributes:
        label: its full label in the pipeline.
        inputs: the PCollections it takes.
        sides: the PCollections it takes as side inputs.
        outputs: the PCollections it gives, by tag; the main one is under None.
        takes_in: the round in which it takes its inputs.
        gives_in: the round in which it gives its outputs; later, where it needs all inputs first.
    """

    kind: Kind
    label: str
    transform: Any
    inputs: tuple[Any, ...]
    sides: tuple[Any, ...]
    outputs: Mapping[Any, Any]
    takes_in: int = 0
    gives_in: int = 0

    @property
    def is_barrier(self) -> bool:
        return self.kind in (Kind.GROUP, Kind.COMBINE)


def steps_of(pipeline: Any) -> list[Step] | Unclaimed:
    """The steps of a pipeline, each after those that it needs, with their rounds.

    Returns:
        Why FnApiRunner must run the pipeline, if it has a transform that the local runner does
        not claim.
    """
    steps = []
    for node, kind in _nodes(root_of(pipeline)):
        if isinstance(kind, Unclaimed):
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
    if not isinstance(ordered, Unclaimed):
        _set_rounds(ordered)
    return ordered


def _nodes(node: Any) -> Iterator[tuple[Any, Kind | Unclaimed]]:
    """The transforms that are run as one, composites taken apart if they are not."""
    kind = kind_of(node)
    if kind is not None:
        yield node, kind
        return
    for part in node.parts:
        yield from _nodes(part)


def _ordered(steps: list[Step]) -> list[Step] | Unclaimed:
    """Steps after those whose outputs they take."""
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
            return Unclaimed(f"{step.label!r} takes an input that no step gives")
        missing = [p for c in needed if id(p := producers[c]) not in ordered]
        if missing:
            pending += missing
            continue
        ordered[id(step)] = pending.pop()
    return list(ordered.values())


def _set_rounds(steps: list[Step]) -> None:
    producers = {output: step for step in steps for output in step.outputs.values()}
    for step in steps:
        taken = [producers[collection].gives_in for collection in step.inputs]
        known = [producers[collection].gives_in + 1 for collection in step.sides]
        step.takes_in = max(taken + known, default=0)
        step.gives_in = step.takes_in + step.is_barrier
    # What is only needed later is made later: else it would be held until then.
    latest: dict[int, int] = {}
    for step in reversed(steps):
        if id(step) in latest:
            step.gives_in = max(step.gives_in, latest[id(step)])
            if not step.is_barrier:
                step.takes_in = step.gives_in
        needed_in = [(collection, step.takes_in) for collection in step.inputs]
        needed_in += [(collection, step.takes_in - 1) for collection in step.sides]
        for collection, number in needed_in:
            producer = id(producers[collection])
            latest[producer] = min(latest.get(producer, number), number)
