"""Compiles a built pipeline into its spec."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from prodml import artifacts
from prodml.compiler import graph
from prodml.compiler.guards import find_guards, find_rest_of_run
from prodml.compiler.project import project_of
from prodml.compiler.spec import (
    ChannelSpec,
    ConditionSpec,
    GuardSpec,
    InputSpec,
    NodeKind,
    NodeSpec,
    OutputSpec,
    ParameterSpec,
    PipelineSpec,
    WatchedSpec,
)
from prodml.dsl.channel import Channel, OutputChannel, Predicate
from prodml.dsl.component import Component
from prodml.dsl.locations import SourceLocation
from prodml.dsl.module_search import Origin
from prodml.dsl.parameter_types import describe_type
from prodml.dsl.parameters import JsonValue, Watched, watched
from prodml.dsl.pipeline import Pipeline
from prodml.dsl.references import file_of_function, reference, source_file
from prodml.errors import DefinitionError


def compile_pipeline(pipeline: Pipeline) -> PipelineSpec:
    """Compiles a pipeline into its immutable form.

    Raises:
        DefinitionError: a graph rule is broken; the message names the author's line.
    """
    graph.check(pipeline)
    root = os.path.dirname(os.path.abspath(pipeline.location.file))
    components = {component.id: component for component in pipeline.components}
    guards = find_guards(pipeline.components)
    upstream = {
        id: {*graph.upstream_ids(component), *(guard.node for guard in guards[id])}
        for id, component in components.items()
    }
    rest_of_run = find_rest_of_run(pipeline.components, upstream)
    order = graph.topological_order(
        {id: sorted({*upstream[id], *rest_of_run.get(id, ())}) for id in components}
    )
    nodes = tuple(_node(components[id], root, guards[id], rest_of_run.get(id, ())) for id in order)
    return PipelineSpec(
        name=pipeline.name,
        parameters=tuple(
            ParameterSpec(name, value) for name, value in sorted(pipeline.parameters.items())
        ),
        nodes=nodes,
        location=_relative(pipeline.location, root),
        project=project_of(pipeline.location.file),
        import_roots=_import_roots(root, nodes),
        artifact_types=_artifact_types(pipeline.components),
    )


def _node(
    component: Component, root: str, guards: tuple[GuardSpec, ...], rest_of_run: Sequence[str]
) -> NodeSpec:
    signature = component.signature
    cls = type(component)
    return NodeSpec(
        id=component.id,
        kind=NodeKind(component.kind),
        component=reference(cls),
        execution_type=cls.execution_type or _execution_type(reference(cls)),
        inputs=tuple(
            InputSpec(name, declared.type.type_name, declared.is_optional, channels)
            for name, declared in sorted(signature.inputs.items())
            for channels in [tuple(map(_channel, component.inputs.get(name, ())))]
        ),
        outputs=tuple(
            OutputSpec(name, channel.type.type_name)
            for name, channel in sorted(component.outputs.items())
        ),
        parameters=tuple(
            _parameter(name, component.parameters[name], declared.type, component)
            for name, declared in sorted(signature.parameters.items())
        ),
        conditions=tuple(map(_condition, component.conditions)),
        upstream=graph.upstream_ids(component),
        is_cached=component.is_cached,
        location=_relative(component.location, root),
        guards=guards,
        rest_of_run=tuple(rest_of_run),
        is_function=hasattr(cls, "function"),
        is_thread_safe=cls.is_thread_safe,
    )


def _parameter(name: str, value: JsonValue, declared: Any, component: Component) -> ParameterSpec:
    try:
        found = tuple(WatchedSpec(at, kind) for at, kind in watched(declared, value))
        return ParameterSpec(name, value, found, describe_type(declared))
    except ValueError as error:
        raise DefinitionError(
            f"{component.id}: parameter {name!r}: {error}", str(component.location)
        ) from None


def _execution_type(component: str) -> str:
    """Returns `module.Class`; for a file that was loaded by its path, the file name is used."""
    where, _, name = component.rpartition("//")[2].rpartition(":")
    module = os.path.splitext(os.path.basename(where))[0] if where.endswith(".py") else where
    return f"{module}.{name}"


def _import_roots(root: str, nodes: tuple[NodeSpec, ...]) -> tuple[str, ...]:
    """Returns the pipeline file's directory, then others from which nodes import user code."""
    found = [source_file(node.component) for node in nodes]
    for node in nodes:
        for parameter in node.parameters:
            if node.kind is NodeKind.RESOLVER and parameter.name == "strategy_class":
                found.append(source_file(parameter.value))
            found += [file_of_function(name) for _, name in parameter.texts(Watched.FUNCTION)]
    others = (each.root for each in found if each.origin is Origin.USER)
    return tuple(dict.fromkeys([os.path.realpath(root), *others]))


def _artifact_types(components: Sequence[Component]) -> tuple[str, ...]:
    """The artifact types of its channels that are not prodml's, sorted."""
    signatures = [component.signature for component in components]
    declared = {each.type for signature in signatures for each in signature.inputs.values()}
    declared |= {each.type for signature in signatures for each in signature.outputs.values()}
    given = (c for component in components for each in component.inputs.values() for c in each)
    declared |= {channel.type for channel in given}
    users = (each for each in declared if each.__module__ != artifacts.__name__)
    return tuple(sorted(map(reference, users)))


def _channel(channel: Channel) -> ChannelSpec:
    if isinstance(channel, OutputChannel):
        return ChannelSpec(channel.type.type_name, channel.producer.id, channel.output_key)
    return ChannelSpec(channel.type.type_name, channel.producer_component_id, channel.output_key)


def _condition(predicate: Predicate) -> ConditionSpec:
    return ConditionSpec(
        producer=predicate.channel.producer.id,
        output=str(predicate.channel.output_key),
        index=predicate.index,
        place=predicate.place,
        name=predicate.name,
        comparison=predicate.comparison,
        value=predicate.value,
    )


def _relative(location: SourceLocation, root: str) -> str:
    return f"{os.path.relpath(os.path.abspath(location.file), root)}:{location.line}"
