"""Types of parameters as JSON, so that a spec says how to read a value without its component.

| type                                   | JSON                                   |
|----------------------------------------|----------------------------------------|
| `int`, `str`, `None`, `Any`, `Secret`  | the name                               |
| `list[int]`, `dict[str, int]`, ...     | `["list", "int"]`                      |
| `int \\| None`                          | `["union", "int", "None"]`             |
| `Literal["a", "b"]`                    | `["literal", "a", "b"]`                |
| a dataclass, or any other class        | `["class", "package.module:Class"]`    |

Marks of `Annotated`, such as that of `FilePath`, only count when a pipeline is compiled.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from prodml.dsl import references
from prodml.dsl.parameters import JsonValue
from prodml.secrets import Secret

_SIMPLE: dict[str, Any] = {
    "Any": Any,
    "None": type(None),
    "Secret": Secret,
    **{each.__name__: each for each in (bool, int, float, str, bytes, list, dict, tuple, set)},
}
_NAMES = {kind: name for name, kind in _SIMPLE.items()}
_GENERIC: dict[str, Any] = {
    each.__name__: each for each in (list, dict, tuple, set, frozenset, Sequence, Mapping)
}
_REST = "..."
_SCALARS = (bool, int, str, types.NoneType)


def describe_type(declared: Any) -> JsonValue:
    """The JSON that `described_type` makes the type of again.

    Raises:
        ValueError: no process can find the type by a name; says which and what to do.
    """
    origin, arguments = get_origin(declared), get_args(declared)
    if origin is Annotated:
        return describe_type(arguments[0])
    if origin in (Union, types.UnionType):
        return ["union", *map(describe_type, arguments)]
    if origin is Literal and all(isinstance(each, _SCALARS) for each in arguments):
        return ["literal", *arguments]
    if origin in _GENERIC.values():
        return [origin.__name__, *map(describe_type, arguments)]
    if declared is Ellipsis:
        return _REST
    if declared is None:
        return "None"
    if declared in _NAMES:
        return _NAMES[declared]
    if hasattr(declared, "__supertype__"):
        return describe_type(declared.__supertype__)
    return ["class", _reference(declared)]


def _reference(declared: Any) -> str:
    if isinstance(declared, type) and "<locals>" not in declared.__qualname__:
        # A class that is built into Python has no file.
        with contextlib.suppress(TypeError):
            return references.reference(declared)
    raise ValueError(
        f"the type {declared!r} cannot be found by a name; declare a class at the top level of a "
        f"module, or a list, dict, union or Literal of such classes"
    )


def described_type(description: JsonValue) -> Any:
    """The type that `describe_type` described.

    Raises:
        UserCodeError: a module with a class does not import, or the class is gone.
    """
    if description == _REST:
        return Ellipsis
    if isinstance(description, str):
        return _SIMPLE[description]
    kind, *arguments = description
    if kind == "literal":
        return Literal[tuple(arguments)]
    if kind == "class":
        return references.load(arguments[0])
    members = tuple(map(described_type, arguments))
    return functools.reduce(operator.or_, members) if kind == "union" else _GENERIC[kind][members]
