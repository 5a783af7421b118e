"""PipelineSpec: the compiled, immutable form of a pipeline, and its JSON.

Code after the compiler uses these records and no DSL objects.
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

SPEC_VERSION = 3


class NodeKind(StrEnum):
    """How a node runs: by its executor, or as a resolver or importer in the coordinator."""

    EXECUTOR = "executor"
    RESOLVER = "resolver"
    IMPORTER = "importer"


@dataclass(frozen=True)
class ChannelSpec:
    """Where an input's artifacts come from; a Resolver searches the store for them.

    Attributes:
        type: artifact type name.
        producer: id of the node that produces them; None for any node, only for a Resolver.
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
    """A text in a parameter's value that refers to a file or code.

    Attributes:
        at: location of the text, as a JSON pointer into the value; empty for the value itself.
        kind: "file", "module", "function" or "data"; see `prodml.dsl.parameters.Watched`.
    """

    at: str
    kind: str


@dataclass(frozen=True)
class ParameterSpec:
    """A parameter's value as JSON.

    Attributes:
        watched: the texts in the value that refer to files or code.
        type: declared type, as `prodml.dsl.parameter_types` writes it.
    """

    name: str
    value: Any
    watched: tuple[WatchedSpec, ...] = ()
    type: Any = "Any"

    def texts(self, kind: str) -> Iterator[tuple[str, str]]:
        """Yields the pointer and the text of each watched text of one kind."""
        for each in self.watched:
            if each.kind == kind:
                yield each.at, _at(self.value, each.at)

    def without(self, kinds: Collection[str]) -> Any:
        """Returns the value with null instead of the watched texts of the given kinds."""
        return _without(self.value, {each.at for each in self.watched if each.kind in kinds})


@dataclass(frozen=True)
class ConditionSpec:
    """A comparison that must be true for a node to run.

    Attributes:
        producer: id of the node that produces the compared artifact.
        output: output key of the artifact.
        index: index of the artifact.
        place: "property", "custom_property" or "uri".
        name: the property's name; empty for "uri".
        comparison: ==, !=, <, <=, > or >=.
        value: the constant on the right side.
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
        producer: id of the node that produces the examples.
        output: output key of the examples.
    """

    node: str
    producer: str
    output: str


@dataclass(frozen=True)
class NodeSpec:
    """A component inside a pipeline.

    Attributes:
        component: reference to the class (`prodml.dsl.references`), which locates its executor.
        execution_type: name of the ML Metadata execution type.
        conditions: comparisons that must all be true for the node to run.
        upstream: ids of the nodes whose data, conditions or order the node depends on, sorted.
        is_cached: whether the node may use the cache.
        location: `file:line` of the author's code.
        guards: nodes that judge the examples it consumes; if one of them fails, it is skipped.
        rest_of_run: sorted ids of the other nodes that must end before it; if one of them fails,
            it is skipped. Empty unless its component needs a clean run.
        is_function: whether the component is a function, which has no `executor.py` of its own.
        is_thread_safe: whether it may run in a thread beside other nodes.
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
    is_function: bool = False
    is_thread_safe: bool = False

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Ids of all nodes that must end before this one, sorted."""
        guards = {guard.node for guard in self.guards}
        return tuple(sorted({*self.upstream, *guards, *self.rest_of_run}))

    def parameter(self, name: str) -> Any:
        """Returns the JSON value of a parameter."""
        return next(p.value for p in self.parameters if p.name == name)


@dataclass(frozen=True)
class PipelineSpec:
    """A pipeline: nodes in topological order, and the parameters it was built with.

    Attributes:
        project: directory of the project that contains the pipeline file. The JSON omits it and
            has paths relative to it.
        import_roots: directories that user code is imported from.
        artifact_types: the users' own artifact types, by name as `prodml.dsl.references` writes it.
    """

    name: str
    parameters: tuple[ParameterSpec, ...]
    nodes: tuple[NodeSpec, ...]
    location: str
    project: str
    import_roots: tuple[str, ...]
    artifact_types: tuple[str, ...] = ()

    def node(self, node_id: str) -> NodeSpec:
        """Returns a node by id.

        Raises:
            KeyError: the pipeline has no such node.
        """
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise KeyError(node_id)


def to_json(spec: PipelineSpec) -> str:
    """Returns the spec as JSON text, byte-identical for equal specs, with a final newline.

    Paths in the project are written as `${project}/...`, so that the text is the same in every
    checkout of the project.
    """
    document = {"spec_version": SPEC_VERSION, **asdict(spec)}
    portable = relative_paths(document, document.pop("project"))
    return json.dumps(portable, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def from_json(text: str, project: str) -> PipelineSpec:
    """Reads a spec that `to_json` wrote.

    Args:
        text: the JSON text.
        project: the current directory of the project.

    Raises:
        RequestError: the text is not a valid spec.
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
            artifact_types=tuple(document["artifact_types"]),
        )
        for name in _names(spec):
            if not is_name(name):
                raise RequestError(f"pipeline spec: the name {name!r} is not allowed; {RULE}")
        return spec
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RequestError(f"not a pipeline spec: {type(error).__name__}: {error}") from error


def _names(spec: PipelineSpec) -> Iterator[str]:
    """Yields the names that become directories, which an edited spec file may have changed."""
    yield spec.name
    for node in spec.nodes:
        yield node.id
        yield from (output.name for output in node.outputs)


def node_from_json(document: dict[str, Any]) -> NodeSpec:
    """Returns the node whose `dataclasses.asdict` was written as this JSON document."""
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
    return ParameterSpec(document["name"], document["value"], watched, document["type"])


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
