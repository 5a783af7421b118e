"""The files beside a component's class, checked without importing them."""

from __future__ import annotations

import ast
import os
import symtable
import tokenize
from collections.abc import Collection

from prodml.dsl.component import Component
from prodml.dsl.references import neighbour_file, reference, source_file

_EXECUTE = "execute(context: ExecutorContext) -> None"
_OF_DRIVERS = ("judge_cached", "resolve")


def executor_problem(component: type[Component]) -> str | None:
    """What keeps a node of this class from running; None if its `executor.py` has `execute`."""
    where = _beside(component, "executor")
    if not os.path.isfile(where):
        return f"it has no executor: write {where} with {_EXECUTE}"
    return _unless_it_has(("execute",), where, f"no function execute: write {_EXECUTE}")


def driver_problem(component: type[Component]) -> str | None:
    """Why a driver would do nothing; None if there is none, or it has one of its functions."""
    where = _beside(component, "driver")
    if not os.path.isfile(where):
        return None
    return _unless_it_has(_OF_DRIVERS, where, f"neither {' nor '.join(_OF_DRIVERS)}")


def _beside(component: type[Component], name: str) -> str:
    """The file of that name beside the class's own; the one to write if there is none."""
    own = reference(component)
    found = neighbour_file(own, name)
    if found is not None:
        return found.path
    return os.path.join(os.path.dirname(source_file(own).path), f"{name}.py")


def _unless_it_has(wanted: Collection[str], where: str, lack: str) -> str | None:
    try:
        with tokenize.open(where) as file:
            source = file.read()
        names = symtable.symtable(source, where, "exec").get_identifiers()
        has_one = not names.isdisjoint(wanted) or _imports_all(source)
    except (SyntaxError, ValueError) as error:
        return f"{where} is not Python: {error}"
    return None if has_one else f"{where} has {lack}"


def _imports_all(source: str) -> bool:
    """Whether names come from `from module import *`, where only an import could tell which."""
    return any(
        isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
        for node in ast.parse(source).body
    )
