"""Finds the features that a signature parses from serialized tf.Example, by reading its graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
_KEYS = slice(2, 5)
"""The inputs of ParseExampleV2 with the names of sparse, dense and ragged features."""


def parsed_features(meta_graph: Any, signature: Any) -> frozenset[str] | None:
    """Names of all parsed features; None if the graph also uses the examples in another way.

    Args:
        meta_graph: the `MetaGraphDef` of a SavedModel.
        signature: its `SignatureDef`, whose only input is serialized tf.Example.
    """
    functions = {each.signature.name: each for each in meta_graph.graph_def.library.function}
    [examples] = signature.inputs.values()
    returned = [output.name for output in signature.outputs.values()]
    graph = _Graph(meta_graph.graph_def.node, set(map(_source, returned)), functions)
    try:
        return frozenset(graph.parsed(examples.name))
    except _OtherUse:
        return None


class _OtherUse(Exception):
    """The graph does not only parse features of the examples."""


@dataclass(frozen=True)
class _Graph:
    """The nodes of a graph or of a function, and the sources of its outputs."""

    nodes: Any
    returned: set[str]
    functions: Mapping[str, Any]

    def parsed(self, tensor: str) -> Iterator[str]:
        source = _source(tensor)
        if source in self.returned:
            raise _OtherUse
        for node in self.nodes:
            for place, read in enumerate(node.input):
                if _source(read) == source:
                    yield from self._parsed_by(node, place)

    def _parsed_by(self, node: Any, place: int) -> Iterator[str]:
        if node.op == "Identity":
            yield from self.parsed(node.name)
        elif node.op in _CALLS:
            function = self.functions[node.attr["f"].func.name]
            returned = set(map(_source, function.ret.values()))
            inner = _Graph(function.node_def, returned, self.functions)
            yield from inner.parsed(function.signature.input_arg[place].name)
        elif node.op == "ParseExampleV2" and place == 0:
            for keys in node.input[_KEYS]:
                yield from self._constant(keys)
        elif node.op != "Shape":
            raise _OtherUse

    def _constant(self, tensor: str) -> Iterator[str]:
        for node in self.nodes:
            if node.name == _source(tensor) and node.op == "Const":
                names = tf.make_ndarray(node.attr["value"].tensor)
                yield from (name.decode() for name in names.reshape(-1).tolist())
                return
        raise _OtherUse


def _source(tensor: str) -> str:
    """The node or argument that a tensor comes from: `node`, `node:0` or `node:output:0`."""
    return tensor.partition(":")[0]
