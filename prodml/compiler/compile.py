"""Compiles a built pipeline into its spec."""

from __future__ import annotations

import os
from collections.abc import Sequence

from prodml.compiler import graph
from prodml.compiler.guards import find_guards, find_rest_of_run
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
)
from prodml.dsl.channel import Channel, OutputChannel
from prodml.dsl.component import Component
from prodml.dsl.conditions import Predicate
from prodml.dsl.locations import SourceLocation
from prodml.dsl.parameters import watched
from prodml.dsl.pipeline import Pipeline
from prodml.dsl.references import reference


def compile_pipeline(pipeline: Pipeline) -> PipelineSpec:
    """The immutable form of a pipeline.

    Raises:
        DefinitionError: a graph rule is broken; names the author's line.
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
    return PipelineSpec(
        name=pipeline.name,
        parameters=tuple(
            ParameterSpec(name, value, None) for name, value in sorted(pipeline.parameters.items())
        ),
        nodes=tuple(
            _node(components[id], root, guards[id], rest_of_run.get(id, ())) for id in order
        ),
        location=_relative(pipeline.location, root),
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
        execution_type=cls.execution_type or f"{cls.__module__}.{cls.__name__}",
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
            ParameterSpec(name, component.parameters[name], watched(declared.type))
            for name, declared in sorted(signature.parameters.items())
        ),
        conditions=tuple(map(_condition, component.conditions)),
        upstream=graph.upstream_ids(component),
        is_cached=component.is_cached,
        location=_relative(component.location, root),
        guards=guards,
        rest_of_run=tuple(rest_of_run),
    )


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
