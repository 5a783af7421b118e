"""Finds the features that a signature of a SavedModel parses from a serialized tf.Example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

_KEYS = {"sparse": 2, "dense": 3, "ragged": 4}
"""The inputs of ParseExampleV2 with the names of its features; the defaults of dense features
follow."""
_DEFAULTS = 5
_COLUMN_TYPES = {
    tf.float32: pa.types.is_floating,
    tf.int64: pa.types.is_integer,
    tf.string: lambda kind: pa.types.is_large_binary(kind) or pa.types.is_binary(kind),
}


@dataclass(frozen=True)
class ParsedFeature:
    """A feature that a signature parses.

    Attributes:
        name: name of the feature.
        dtype: type of the values.
        size: number of values that each example must have; 0 if the feature may be missing.
    """

    name: str
    dtype: tf.DType
    size: int

    def is_in(self, rows: pa.RecordBatch) -> bool:
        """Whether the feature can be parsed from the rows."""
        place = rows.schema.get_field_index(self.name)
        if place < 0:
            return not self.size
        column = rows.column(place)
        if not _COLUMN_TYPES[self.dtype](column.type.value_type):
            return False
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_pylist()
        return not self.size or all(length == self.size for length in lengths)

    def add_empty(self, example: tf.train.Example) -> None:
        """Adds zeros or empty strings to an example, if the feature requires values."""
        if not self.size:
            return
        feature = example.features.feature[self.name]
        if self.dtype == tf.string:
            feature.bytes_list.value.extend([b""] * self.size)
        elif self.dtype == tf.float32:
            feature.float_list.value.extend([0.0] * self.size)
        else:
            feature.int64_list.value.extend([0] * self.size)


def parsed_features(meta_graph: Any, signature: Any) -> list[ParsedFeature] | None:
    """All features that the signature parses with ParseExampleV2; None if there are none.

    Args:
        meta_graph: the `MetaGraphDef` of a SavedModel.
        signature: one of its `SignatureDef`s.
    """
    found = [
        feature
        for node, constants in _reached(meta_graph, signature)
        if node.op == "ParseExampleV2"
        for feature in _features(node, constants)
    ]
    return found or None


def _features(node: Any, constants: Mapping[str, Any]) -> Iterator[ParsedFeature]:
    def names(kind: str) -> list[str]:
        keys = constants.get(_node_name(node.input[_KEYS[kind]]))
        return [] if keys is None else [key.decode() for key in keys.reshape(-1).tolist()]

    for kind, types in (("sparse", "sparse_types"), ("ragged", "ragged_value_types")):
        for name, dtype in zip(names(kind), node.attr[types].list.type, strict=False):
            yield ParsedFeature(name, tf.as_dtype(dtype), 0)
    dense = zip(names("dense"), node.attr["Tdense"].list.type, strict=False)
    for place, (name, dtype) in enumerate(dense):
        default = constants.get(_node_name(node.input[_DEFAULTS + place]))
        sizes = [dim.size for dim in node.attr["dense_shapes"].list.shape[place].dim]
        is_optional = (default is not None and default.size > 0) or min(sizes, default=1) < 0
        size = 0 if is_optional else int(np.prod(sizes, dtype=np.int64))
        yield ParsedFeature(name, tf.as_dtype(dtype), size)


def _reached(meta_graph: Any, signature: Any) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """The nodes that run for the signature, each with the constants of its graph or function."""
    functions = {each.signature.name: each for each in meta_graph.graph_def.library.function}
    main = {node.name: node for node in meta_graph.graph_def.node}
    pending = [_node_name(output.name) for output in signature.outputs.values()]
    nodes: dict[str, Any] = {}
    while pending:
        name = pending.pop()
        if name in main and name not in nodes:
            nodes[name] = main[name]
            pending += map(_node_name, main[name].input)
    bodies = [list(nodes.values())]
    seen: set[str] = set()
    while bodies:
        body = bodies.pop()
        constants = _Constants(body)
        for node in body:
            yield node, constants
            for called in _called(node):
                if called in functions and called not in seen:
                    seen.add(called)
                    bodies.append(list(functions[called].node_def))


class _Constants(Mapping[str, Any]):
    """The constants of a graph by name, read on access because some are large."""

    def __init__(self, nodes: list[Any]) -> None:
        self._nodes = {node.name: node for node in nodes if node.op == "Const"}

    def __getitem__(self, name: str) -> Any:
        return tf.make_ndarray(self._nodes[name].attr["value"].tensor)

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)


def _called(node: Any) -> Iterator[str]:
    yield node.op
    for value in node.attr.values():
        yield value.func.name
        yield from (function.name for function in value.list.func)


def _node_name(tensor: str) -> str:
    return tensor.lstrip("^").partition(":")[0]
