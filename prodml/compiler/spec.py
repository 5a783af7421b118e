"""PipelineSpec: the compiled, immutable form of a pipeline, and its JSON.

Everything after the compiler sees these records and no object of the DSL.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from prodml.artifacts import PropertyValue
from prodml.compiler.project import absolute_paths, relative_paths
from prodml.documents import parse_json
from prodml.dsl.parameters import pointer_step
from prodml.errors import RequestError
from prodml.names import RULE, is_name

SPEC_VERSION = 2


class NodeKind(StrEnum):
    """Who does a node's work."""

    EXECUTOR = "executor"
    RESOLVER = "resolver"
    IMPORTER = "importer"


@dataclass(frozen=True)
class ChannelSpec:
    """Where an input's artifacts come from; a Resolver searches the store for them.

    Attributes:
        type: artifact type name.
        producer: id of the node that makes them; None for any, which only a Resolver may have.
        output: the producer's output key; None for any.
    """

    type: str
    producer: str | None
    output: str | None


@dataclass(frozen=True)
class InputSpec:
    name: str
    type: str
    is_optional: bool
    channels: tuple[ChannelSpec, ...]


@dataclass(frozen=True)
class OutputSpec:
    name: str
    type: str


@dataclass(frozen=True)
class WatchedSpec:
    """A text in a parameter's value that stands for a file or code.

    Attributes:
        at: where it is, as a JSON pointer into the value; empty for the value itself.
        kind: "file", "module", "function" or "data"; see `prodml.dsl.parameters.Watched`.
    """

    at: str
    kind: str


@dataclass(frozen=True)
class ParameterSpec:
    """A parameter's value as JSON, and what in it stands for files or code."""

    name: str
    value: Any
    watched: tuple[WatchedSpec, ...] = ()

    def texts(self, kind: str) -> Iterator[tuple[str, str]]:
        """The watched texts of one kind, each after its pointer."""
        for each in self.watched:
            if each.kind == kind:
                yield each.at, _at(self.value, each.at)

    def without(self, kinds: Collection[str]) -> Any:
        """The value with null for every watched text of some kinds."""
        return _without(self.value, {each.at for each in self.watched if each.kind in kinds})


@dataclass(frozen=True)
class ConditionSpec:
    """A comparison that must hold for a node to run.

    Attributes:
        producer, output, index: the artifact that is looked at.
        place: "property", "custom_property" or "uri".
        name: the property's name; empty for "uri".
        comparison: ==, !=, <, <=, > or >=.
        value: what it is compared with.
    """

    producer: str
    output: str
    index: int
    place: str
    name: str
    comparison: str
    value: PropertyValue


@dataclass(frozen=True)
class GuardSpec:
    """A node that judges examples, on behalf of a node that consumes them.

    Attributes:
        node: id of the node that judges.
        producer, output: the examples.
    """

    node: str
    producer: str
    output: str


@dataclass(frozen=True)
class NodeSpec:
    """A component inside a pipeline.

    Attributes:
        component: the class by name, as `prodml.dsl.references` writes it; its executor is found
            from it.
        execution_type: name of the ML Metadata execution type.
        conditions: all of them must hold for the node to run.
        upstream: ids of the nodes whose data, conditions or declared order it depends on, sorted.
        is_cached: whether the cache may be asked.
        location: `file:line` of the author's code.
        guards: who judges the examples it consumes: if one of them fails, it is skipped.
        rest_of_run: ids of the other nodes that must end before it, sorted: if one of them fails,
            it is skipped. Empty unless its component needs a clean run.
    """

    id: str
    kind: NodeKind
    component: str
    execution_type: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    parameters: tuple[ParameterSpec, ...]
    conditions: tuple[ConditionSpec, ...]
    upstream: tuple[str, ...]
    is_cached: bool
    location: str
    guards: tuple[GuardSpec, ...] = ()
    rest_of_run: tuple[str, ...] = ()

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Ids of all nodes that must end before this one, sorted."""
        guards = {guard.node for guard in self.guards}
        return tuple(sorted({*self.upstream, *guards, *self.rest_of_run}))

    def parameter(self, name: str) -> Any:
        """The JSON value of one parameter."""
        return next(p.value for p in self.parameters if p.name == name)


@dataclass(frozen=True)
class PipelineSpec:
    """A pipeline: nodes in topological order, and the parameters it was built with.

    Attributes:
        project: the directory of the project that the pipeline's file is part of. It is not in the
            JSON, where paths in it are relative to it.
        import_roots: directories that user code is imported from.
    """

    name: str
    parameters: tuple[ParameterSpec, ...]
    nodes: tuple[NodeSpec, ...]
    location: str
    project: str
    import_roots: tuple[str, ...]

    def node(self, node_id: str) -> NodeSpec:
        """A node by id.

        Raises:
            KeyError: there is none.
        """
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise KeyError(node_id)


def to_json(spec: PipelineSpec) -> str:
    """The spec as JSON text, byte-identical for equal specs; ends with a newline.

    Paths in the project are written as `${project}/...`, so that every checkout of a project gives
    the same text.
    """
    document = {"spec_version": SPEC_VERSION, **asdict(spec)}
    portable = relative_paths(document, document.pop("project"))
    return json.dumps(portable, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def from_json(text: str, project: str) -> PipelineSpec:
    """The spec that `to_json` wrote.

    Args:
        project: the directory that the project is in now.

    Raises:
        RequestError: the text is not such a spec.
    """
    try:
        document = absolute_paths(parse_json(text), project)
        version = document.get("spec_version")
        if version != SPEC_VERSION:
            raise RequestError(
                f"pipeline spec has version {version!r}, this prodml reads {SPEC_VERSION}; "
                f"compile the pipeline again"
            )
        spec = PipelineSpec(
            name=document["name"],
            parameters=tuple(map(_parameter, document["parameters"])),
            nodes=tuple(node_from_json(n) for n in document["nodes"]),
            location=document["location"],
            project=project,
            import_roots=tuple(document["import_roots"]),
        )
        for name in _names(spec):
            if not is_name(name):
                raise RequestError(f"pipeline spec: the name {name!r} is not allowed; {RULE}")
        return spec
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RequestError(f"not a pipeline spec: {type(error).__name__}: {error}") from error


def _names(spec: PipelineSpec) -> Iterator[str]:
    """All that become directory names: a spec may come from a file that somebody has edited."""
    yield spec.name
    for node in spec.nodes:
        yield node.id
        yield from (output.name for output in node.outputs)


def node_from_json(document: dict[str, Any]) -> NodeSpec:
    """The node that `dataclasses.asdict` and JSON made a document of."""
    return NodeSpec(
        **{
            **document,
            "kind": NodeKind(document["kind"]),
            "inputs": tuple(
                InputSpec(**{**i, "channels": tuple(ChannelSpec(**c) for c in i["channels"])})
                for i in document["inputs"]
            ),
            "outputs": tuple(OutputSpec(**o) for o in document["outputs"]),
            "parameters": tuple(map(_parameter, document["parameters"])),
            "conditions": tuple(ConditionSpec(**c) for c in document["conditions"]),
            "upstream": tuple(document["upstream"]),
            "guards": tuple(GuardSpec(**g) for g in document["guards"]),
            "rest_of_run": tuple(document["rest_of_run"]),
        }
    )


def _parameter(document: dict[str, Any]) -> ParameterSpec:
    watched = tuple(WatchedSpec(**each) for each in document["watched"])
    return ParameterSpec(document["name"], document["value"], watched)


def _at(value: Any, pointer: str) -> Any:
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        value = value[int(key)] if isinstance(value, list | tuple) else value[key]
    return value


def _without(value: Any, pointers: Collection[str], at: str = "") -> Any:
    if at in pointers:
        return None
    if isinstance(value, dict):
        return {
            key: _without(item, pointers, f"{at}/{pointer_step(key)}")
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without(item, pointers, f"{at}/{index}") for index, item in enumerate(value)]
    return value
