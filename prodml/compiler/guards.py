"""Finds the nodes that a node waits for without reading their outputs: guards and clean runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prodml.artifacts import Examples
from prodml.compiler.graph import topological_order, upstream_ids
from prodml.compiler.spec import GuardSpec
from prodml.dsl.channel import Channel, OutputChannel, Producer
from prodml.dsl.component import Component

Upstream = Mapping[str, Iterable[str]]
"""Maps a node id to the ids of the nodes that must end before the node starts."""

_Output = tuple[str, str]
"""A node id and one of the node's output keys."""


def find_guards(components: Iterable[Component]) -> dict[str, tuple[GuardSpec, ...]]:
    """Returns the guards of each node, by node id.

    A node is guarded by the nodes that judge the examples it consumes, except by nodes that depend
    on it, such as ExampleValidator on StatisticsGen, and unless its author called
    `without_guards()`. Guards of the same examples do not wait for each other, and neither do
    nodes that only serve guards, so that each guard reports.

    Args:
        components: the components of a pipeline without cycles.
    """
    by_id = {component.id: component for component in components}
    waits = {id: set(upstream_ids(component)) for id, component in by_id.items()}
    judged = {id: _judged(by_id[id]) for id in topological_order(_sorted(waits))}
    dependents = _reversed(waits)
    exempt = {id: judged[id] | _judged_by_all_leaves(id, dependents, judged) for id in by_id}
    found: dict[str, list[GuardSpec]] = {id: [] for id in by_id}
    for guard, outputs in judged.items():
        # Includes the edges to earlier guards; otherwise two guards could form a cycle.
        before = _reachable(guard, waits) if outputs else set()
        for id, component in by_id.items():
            if id in before or not component.is_guarded:
                continue
            for producer, key in sorted(outputs & (_consumed(component) - exempt[id])):
                found[id].append(GuardSpec(guard, producer, key))
                waits[id].add(guard)
    return {id: tuple(sorted(guards, key=_order)) for id, guards in found.items()}


def find_rest_of_run(components: Iterable[Component], upstream: Upstream) -> dict[str, list[str]]:
    """Returns, by id of each node that needs a clean run, the nodes that must end without failing.

    These are all nodes that do not depend on it. Of several nodes that need a clean run, a later
    one waits for the earlier ones.

    Args:
        components: the components of the pipeline.
        upstream: for each node, the nodes it waits for by data, conditions, order and guards.
    """
    needs_clean_run = {component.id for component in components if component.needs_clean_run}
    dependents = _reversed(upstream)
    excluded: set[str] = set()
    found = {}
    for id in reversed(topological_order(_sorted(upstream))):
        if id in needs_clean_run:
            excluded |= _reachable(id, dependents)
            found[id] = sorted(set(upstream) - excluded)
    return found


def _judged(guard: Component) -> set[_Output]:
    channels = (channel for name in guard.judges for channel in guard.inputs.get(name, ()))
    return {output for channel in channels for output in _examples_behind(channel)}


def _examples_behind(channel: Channel) -> set[_Output]:
    """Returns the channel's output if it has examples, else the examples it was computed from."""
    if not isinstance(channel, OutputChannel):
        return set()
    if _is_examples(channel):
        return {_output(channel)}
    behind = _consumed(channel.producer)
    if behind:
        return behind
    inputs = (c for channels in channel.producer.inputs.values() for c in channels)
    return {output for each in inputs for output in _examples_behind(each)}


def _judged_by_all_leaves(
    id: str, dependents: Mapping[str, list[str]], judged: Mapping[str, set[_Output]]
) -> set[_Output]:
    """Returns the outputs that all leaves below a node judge; leaves have no dependents."""
    leaves = [each for each in _reachable(id, dependents) if not dependents[each]]
    return set.intersection(*(judged[leaf] for leaf in leaves))


def _consumed(component: Producer) -> set[_Output]:
    return {
        _output(channel)
        for channels in component.inputs.values()
        for channel in channels
        if isinstance(channel, OutputChannel) and _is_examples(channel)
    }


def _output(channel: OutputChannel) -> _Output:
    return channel.producer.id, str(channel.output_key)


def _is_examples(channel: Channel) -> bool:
    return issubclass(channel.type, Examples)


def _reachable(start: str, edges: Upstream) -> set[str]:
    """Returns a node and all nodes that are reachable from it."""
    found: set[str] = set()
    pending = [start]
    while pending:
        id = pending.pop()
        if id not in found:
            found.add(id)
            pending += edges[id]
    return found


def _reversed(edges: Upstream) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {id: [] for id in edges}
    for id, others in edges.items():
        for other in others:
            result[other].append(id)
    return result


def _sorted(edges: Upstream) -> dict[str, list[str]]:
    return {id: sorted(others) for id, others in edges.items()}


def _order(guard: GuardSpec) -> tuple[str, str, str]:
    return guard.node, guard.producer, guard.output
