"""A batch pipeline as steps in the order in which one process can run them.

Steps run in rounds. In a round every element is pushed through all steps at once, so data that is
only read, changed and written is never held. A new round begins where a step needs all of
something first: a group or combination by key, or a side input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import apache_beam as beam
from apache_beam.io.iobase import BoundedSource, Read
from apache_beam.transforms.trigger import DefaultTrigger
from apache_beam.transforms.util import Reshuffle, ReshufflePerKey
from apache_beam.transforms.window import GlobalWindows


class Kind(Enum):
    """What a step does with its elements."""

    IMPULSE = auto()
    READ = auto()
    PAR_DO = auto()
    FORWARD = auto()
    GROUP = auto()
    COMBINE = auto()


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


def steps_of(pipeline: Any) -> list[Step] | None:
    """The steps of a pipeline, each after those that it needs, with their rounds.

    Returns:
        None where the pipeline has something else than global windows, or transforms other than
        reading, ParDo without state or splitting, GroupByKey, CombinePerKey, Flatten and what is
        made of them.
    """
    steps = []
    for node, kind in _nodes(pipeline._root_transform()):
        if kind is None or not all(map(_is_global, node.outputs.values())):
            return None
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
    if ordered is not None:
        _set_rounds(ordered)
    return ordered


def _nodes(node: Any) -> Iterator[tuple[Any, Kind | None]]:
    """The transforms that are run as one, composites taken apart where they are not."""
    kind = _kind(node)
    if kind is not None or (not node.parts and not _gives_what_it_takes(node)):
        yield node, kind
        return
    for part in node.parts:
        yield from _nodes(part)


def _gives_what_it_takes(node: Any) -> bool:
    """Whether a transform does nothing: `expand` returned its input, or nothing at all."""
    return all(output in node.inputs for output in node.outputs.values())


def _kind(node: Any) -> Kind | None:
    transform = node.transform
    match transform:
        case beam.Impulse():
            return Kind.IMPULSE
        case Read() if isinstance(transform.source, BoundedSource):
            return Kind.READ
        case Reshuffle() | ReshufflePerKey() | beam.Flatten():
            return Kind.FORWARD
        case beam.GroupByKey() if not node.parts:
            return Kind.GROUP
        case beam.CombinePerKey() if not transform.side_inputs:
            return Kind.COMBINE
        case beam.ParDo() if not node.parts and _is_plain(transform):
            return Kind.PAR_DO
    return None


def _is_plain(transform: Any) -> bool:
    signature = transform._signature
    return not (
        signature.is_splittable_dofn()
        or signature.is_stateful_dofn()
        or transform.dofn._process_batch_defined
    )


def _is_global(output: Any) -> bool:
    windowing = getattr(output, "windowing", None)
    return windowing is None or (
        isinstance(windowing.windowfn, GlobalWindows)
        # Reshuffle sets another trigger inside of itself, where it is not looked at.
        and isinstance(windowing.triggerfn, DefaultTrigger)
    )


def _ordered(steps: list[Step]) -> list[Step] | None:
    """Steps after those whose outputs they take; None where an input comes from nowhere."""
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
            return None
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
