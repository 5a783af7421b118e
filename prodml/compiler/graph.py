"""Graph rules that every pipeline must satisfy, one function and one message each."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

from prodml.compiler.component_files import driver_problem, executor_problem
from prodml.dsl.channel import Channel, OutputChannel
from prodml.dsl.component import Component
from prodml.dsl.pipeline import Pipeline
from prodml.errors import DefinitionError
from prodml.names import RULE, is_name
from prodml.suggestions import suggest


def has_nodes(pipeline: Pipeline) -> None:
    """A pipeline has at least one component."""
    if not pipeline.components:
        raise DefinitionError(
            f"pipeline {pipeline.name!r} has no components; create them inside its function",
            str(pipeline.location),
        )


def names_are_safe(pipeline: Pipeline) -> None:
    """Node ids and output keys become directory names, so they must be valid names."""
    for component in pipeline.components:
        named = [("node id", component.id), *(("output", key) for key in component.outputs)]
        for what, name in named:
            if not is_name(name):
                raise DefinitionError(f"{what} {name!r}: {RULE}", str(component.location))


def ids_are_unique(pipeline: Pipeline) -> None:
    """No two nodes have the same id."""
    seen: dict[str, Component] = {}
    for component in pipeline.components:
        other = seen.setdefault(component.id, component)
        if other is not component:
            raise DefinitionError(
                f"node id {component.id!r} is already used at {other.location}; "
                f"set another id with .with_id(...)",
                str(component.location),
            )


def producers_are_inside(pipeline: Pipeline) -> None:
    """The producer of a channel belongs to the same pipeline."""
    inside = {id(component) for component in pipeline.components}
    for component in pipeline.components:
        for name, channels in component.inputs.items():
            for channel in channels:
                if isinstance(channel, OutputChannel) and id(channel.producer) not in inside:
                    raise DefinitionError(
                        f"input {name!r} of {component.id!r} comes from {channel.producer.id!r} "
                        f"({channel.producer.location}), which is not part of pipeline "
                        f"{pipeline.name!r}",
                        str(component.location),
                    )
        compared = [predicate.channel.producer for predicate in component.conditions]
        for upstream in [*component.upstream, *compared]:
            if id(upstream) not in inside:
                raise DefinitionError(
                    f"{component.id!r} runs after {upstream.id!r} ({upstream.location}), which "
                    f"is not part of pipeline {pipeline.name!r}",
                    str(component.location),
                )


def only_resolvers_search_the_store(pipeline: Pipeline) -> None:
    """Only a Resolver accepts `Channel(type=...)`, which represents artifacts in the store."""
    for component in pipeline.components:
        for name, channels in component.inputs.items():
            if component.kind != "resolver" and any(type(c) is Channel for c in channels):
                raise DefinitionError(
                    f"input {name!r} of {component.id!r} is a Channel without a producer; "
                    f"pass another component's outputs[...], or the outputs of a Resolver",
                    str(component.location),
                )


def searches_can_find_something(pipeline: Pipeline) -> None:
    """A Resolver searches for artifacts that a node produces; others are never found."""
    for component in pipeline.components:
        for channels in component.inputs.values():
            for channel in channels:
                if not isinstance(channel, OutputChannel):
                    _check_search(pipeline, channel)


def _check_search(pipeline: Pipeline, channel: Channel) -> None:
    name, key, type_name = channel.producer_component_id, channel.output_key, channel.type.type_name
    nodes = {component.id: component for component in pipeline.components}
    if name is not None and name not in nodes:
        raise DefinitionError(
            f"Channel: pipeline {pipeline.name!r} has no node {name!r}{suggest(name, nodes)}",
            str(channel.location),
        )
    if name is None and key is None:
        return
    named = list(nodes.values()) if name is None else [nodes[name]]
    keys = {
        output_key
        for component in named
        if component.kind == "executor"
        for output_key, output in component.outputs.items()
        if output.type.type_name == type_name
    }
    if not keys:
        raise DefinitionError(
            f"Channel: {name or 'the pipeline'} does not produce {type_name}; set "
            f"producer_component_id to a node that does",
            str(channel.location),
        )
    if key is not None and key not in keys:
        raise DefinitionError(
            f"Channel: {name or 'the pipeline'} has no output {key!r} of type {type_name}"
            f"{suggest(key, keys)}",
            str(channel.location),
        )


def judged_inputs_are_declared(pipeline: Pipeline) -> None:
    """`judges` names declared inputs; a misspelt name would guard no node."""
    for component in pipeline.components:
        for name in component.judges:
            if name not in component.signature.inputs:
                raise DefinitionError(
                    f"{type(component).__name__}.judges names {name!r}, which is not an input"
                    f"{suggest(name, component.signature.inputs)}",
                    str(component.location),
                )


def has_no_cycle(pipeline: Pipeline) -> None:
    """The graph has no cycle; the message shows one as `a -> b -> a`."""
    cycle = find_cycle({c.id: upstream_ids(c) for c in pipeline.components})
    if cycle:
        first = next(c for c in pipeline.components if c.id == cycle[0])
        raise DefinitionError(f"the nodes form a cycle: {' -> '.join(cycle)}", str(first.location))


def classes_are_at_module_level(pipeline: Pipeline) -> None:
    """Component classes are at module level, because a node loads its class by name."""
    for component in pipeline.components:
        cls = type(component)
        module = sys.modules.get(cls.__module__)
        if module is not None and not hasattr(module, cls.__qualname__):
            raise DefinitionError(
                f"module {module.__name__} has no {cls.__qualname__!r}, so no node could load "
                f"component {cls.__name__}; define it at module level, under that name",
                str(component.location),
            )


def class_components_have_executors(pipeline: Pipeline) -> None:
    """A class component has an `executor.py` beside it; a function component needs none."""
    for component in pipeline.components:
        cls = type(component)
        if component.kind == "executor" and not hasattr(cls, "function"):
            problem = executor_problem(cls) or driver_problem(cls)
            if problem is not None:
                raise DefinitionError(
                    f"component {cls.__name__} cannot run: {problem}", str(component.location)
                )


RULES = (
    has_nodes,
    names_are_safe,
    ids_are_unique,
    producers_are_inside,
    only_resolvers_search_the_store,
    searches_can_find_something,
    judged_inputs_are_declared,
    has_no_cycle,
    classes_are_at_module_level,
    class_components_have_executors,
)


def check(pipeline: Pipeline) -> None:
    """Applies every rule.

    Raises:
        DefinitionError: the first rule that is broken, with the author's line.
    """
    for rule in RULES:
        rule(pipeline)


def upstream_ids(component: Component) -> tuple[str, ...]:
    """Returns the sorted ids of the nodes that a component depends on: data, conditions, order."""
    producers = {
        channel.producer.id
        for channels in component.inputs.values()
        for channel in channels
        if isinstance(channel, OutputChannel)
    }
    compared = {predicate.channel.producer.id for predicate in component.conditions}
    return tuple(sorted(producers | compared | {c.id for c in component.upstream}))


def topological_order(upstream: Mapping[str, Sequence[str]]) -> list[str]:
    """Sorts node ids so that each comes after its upstream, otherwise in the given order.

    Args:
        upstream: for each id, the ids that must come before it; without cycles.
    """
    ordered: dict[str, None] = {}
    for start in upstream:
        stack: list[tuple[str, Iterable[str]]] = [(start, iter(upstream[start]))]
        while stack:
            node, remaining = stack[-1]
            following = next((n for n in remaining if n not in ordered), None)
            if following is None:
                ordered[node] = None
                stack.pop()
            else:
                stack.append((following, iter(upstream[following])))
    return list(ordered)


def find_cycle(upstream: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Returns one cycle in the direction of the data, as `[a, b, a]`; None if there is none."""
    done: set[str] = set()
    for start in upstream:
        path: list[str] = []
        stack = [(start, iter(upstream[start]))]
        path.append(start)
        while stack:
            node, remaining = stack[-1]
            following = next((n for n in remaining if n not in done), None)
            if following is None:
                done.add(node)
                path.pop()
                stack.pop()
            elif following in path:
                members = path[path.index(following) :]
                return [following, *reversed(members)]
            else:
                path.append(following)
                stack.append((following, iter(upstream[following])))
    return None
