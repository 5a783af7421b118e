"""The graphs in a SavedModel: function calls, reachable nodes, and the origins of values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

MAIN: Final = ""
"""Name of the main graph; the graph of a function has the function's name."""

LOADING: Final = "loading"
SAVER: Final = "saver"

_CALLS: Final = ("PartitionedCall", "StatefulPartitionedCall")
_LOADING_COLLECTIONS: Final = ("saved_model_main_op", "legacy_init_op", "table_initializer")
_INIT_SIGNATURE: Final = "__saved_model_init_op"

Place = tuple[str, str]
"""The name of a graph, and the name of a node or function argument in it."""


class Origin(Enum):
    """Where a value comes from."""

    ASSET = auto()
    """A file in the model's own assets."""
    CHECKPOINT = auto()
    """The model's own checkpoint, whose path the loader sets."""
    ELSEWHERE = auto()
    """A constant, a request, a variable, or the result of another operation."""


@dataclass(frozen=True)
class Graph:
    """A main graph or a function: nodes by name, and the function's arguments in order."""

    nodes: Mapping[str, Any]
    arguments: tuple[str, ...]


class MetaGraph:
    """One MetaGraph of a SavedModel.

    Args:
        meta_graph: a MetaGraphDef of `prodml.scan.saved_model_messages`.
    """

    def __init__(self, meta_graph: Any) -> None:
        self._meta_graph = meta_graph
        library = meta_graph.graph_def.library
        self.tags = tuple(meta_graph.meta_info_def.tags)
        self.graphs = {
            MAIN: _graph(meta_graph.graph_def.node),
            **{
                function.signature.name: _graph(
                    function.node_def, [each.name for each in function.signature.input_arg]
                )
                for function in library.function
            },
        }
        """Graphs by name."""
        self._gradients: dict[str, list[str]] = {}
        for gradient in library.gradient:
            self._gradients.setdefault(gradient.function_name, []).append(gradient.gradient_func)
        self._assets = {_node_name(each.tensor_info.name) for each in meta_graph.asset_file_def}
        self._bound = _inputs_bound_to_assets(meta_graph.object_graph_def)
        self._callers: dict[str, list[tuple[str, Any]]] = {}
        for name, graph in self.graphs.items():
            for node in graph.nodes.values():
                for called in self._called_functions(node):
                    self._callers.setdefault(called, []).append((name, node))

    def entry_points(self) -> dict[str, set[str]]:
        """Returns the entry nodes of the main graph: by signature, `loading` and `saver`."""
        found: dict[str, set[str]] = {LOADING: set(), SAVER: set()}
        for signature in self._meta_graph.signature_def:
            infos = [e.value for e in (*signature.value.outputs, *signature.value.inputs)]
            names = {_node_name(name) for info in infos for name in _tensor_names(info)}
            key = LOADING if signature.key == _INIT_SIGNATURE else f"signature {signature.key}"
            found.setdefault(key, set()).update(names)
        for collection in self._meta_graph.collection_def:
            if collection.key in _LOADING_COLLECTIONS:
                found[LOADING].update(map(_node_name, collection.value.node_list.value))
        saver = self._meta_graph.saver_def
        for name in (saver.save_tensor_name, saver.restore_op_name):
            if name:
                found[SAVER].add(_node_name(name))
        return found

    def reached_from(self, starts: Iterable[str]) -> set[Place]:
        """Returns every node that runs if these nodes of the main graph run, also in functions."""
        main = self.graphs[MAIN]
        seen: set[Place] = set()
        functions: set[str] = set()
        pending = [name for name in starts if name in main.nodes]
        while pending:
            name = pending.pop()
            if (MAIN, name) in seen:
                continue
            seen.add((MAIN, name))
            node = main.nodes[name]
            pending += [n for n in map(_node_name, node.input) if n in main.nodes]
            functions.update(self._called_functions(node))
        queue = list(functions)
        while queue:
            function = queue.pop()
            for node in self.graphs[function].nodes.values():
                seen.add((function, node.name))
                new = set(self._called_functions(node)) - functions
                functions |= new
                queue += new
        return seen

    def origins(self, place: Place, input_number: int) -> set[Origin]:
        """Returns the possible origins of a node's input value, also through function arguments."""
        graph, name = place
        inputs = _data_inputs(self.graphs[graph].nodes[name])
        if input_number >= len(inputs):
            return {Origin.ELSEWHERE}
        found: set[Origin] = set()
        seen: set[Place] = set()
        pending: list[Place] = [(graph, inputs[input_number])]
        while pending:
            at = pending.pop()
            if at in seen:
                continue
            seen.add(at)
            origin, sources = self._sources(at)
            pending += sources
            if origin is not None:
                found.add(origin)
        return found

    def _sources(self, place: Place) -> tuple[Origin | None, list[Place]]:
        """Returns the origin of a value if it is known, and the values that it is computed from."""
        name, step = place
        graph = self.graphs[name]
        if step in graph.arguments:
            return self._argument_sources(name, graph.arguments.index(step))
        if name == MAIN and step in self._assets:
            return Origin.ASSET, []
        if name == MAIN and step == _node_name(self._meta_graph.saver_def.filename_tensor_name):
            return Origin.CHECKPOINT, []
        node = graph.nodes.get(step)
        if node is None or list(self._called_functions(node)):
            return Origin.ELSEWHERE, []
        sources = _data_inputs(node)
        if node.op == "VarHandleOp":
            # A path in a variable: its sources are the values assigned when the model is loaded.
            sources = [
                _data_inputs(other)[1]
                for other in graph.nodes.values()
                if other.op == "AssignVariableOp" and _data_inputs(other)[:1] == [step]
            ]
        if not sources:
            return Origin.ELSEWHERE, []
        return None, [(name, each) for each in sources]

    def _argument_sources(self, function: str, number: int) -> tuple[Origin | None, list[Place]]:
        sources: list[Place] = []
        for graph, node in self._callers.get(function, ()):
            inputs = _data_inputs(node)
            if node.op in _CALLS and number < len(inputs):
                inputs = inputs[number : number + 1]
            sources += [(graph, each) for each in inputs]
        bound = self._bound.get(function)
        if bound is None:
            return (None if sources else Origin.ELSEWHERE), sources
        # The function is also in the object graph, which binds values to its last arguments.
        place = number - (len(self.graphs[function].arguments) - len(bound))
        is_asset = 0 <= place < len(bound) and bound[place]
        return (Origin.ASSET if is_asset else Origin.ELSEWHERE), sources

    def _called_functions(self, node: Any) -> Iterator[str]:
        names = [node.op]
        for entry in node.attr:
            names.append(entry.value.func.name)
            names += [each.name for each in entry.value.list.func]
        for name in names:
            if name and name in self.graphs:
                yield name
                yield from (g for g in self._gradients.get(name, ()) if g in self.graphs)


def _graph(nodes: Iterable[Any], arguments: Iterable[str] = ()) -> Graph:
    return Graph({node.name: node for node in nodes}, tuple(arguments))


def _inputs_bound_to_assets(object_graph: Any) -> dict[str, tuple[bool, ...]]:
    """Returns, by function, whether each value that the object graph binds to it is an asset."""
    nodes = object_graph.nodes
    return {
        entry.key: tuple(
            0 <= number < len(nodes) and nodes[number].HasField("asset")
            for number in entry.value.bound_inputs
        )
        for entry in object_graph.concrete_functions
    }


def _tensor_names(info: Any) -> Iterator[str]:
    sparse = info.coo_sparse
    yield from filter(
        None,
        (
            info.name,
            sparse.values_tensor_name,
            sparse.indices_tensor_name,
            sparse.dense_shape_tensor_name,
        ),
    )
    for component in info.composite_tensor.components:
        yield from _tensor_names(component)


def _data_inputs(node: Any) -> list[str]:
    return [_node_name(name) for name in node.input if not name.startswith("^")]


def _node_name(tensor: str) -> str:
    return tensor.lstrip("^").partition(":")[0]
