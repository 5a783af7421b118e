"""Checks the files beside a component's class without importing them."""

from __future__ import annotations

import ast
import os
import symtable
import tokenize
from collections.abc import Collection

from prodml.dsl.component import Component
from prodml.dsl.references import neighbour_file, reference, source_file

_EXECUTE = "execute(context: ExecutorContext) -> None"
_DRIVER_FUNCTIONS = ("judge_cached", "resolve")


def executor_problem(component: type[Component]) -> str | None:
    """Explains why a class has no usable executor; None if its `executor.py` has `execute`."""
    path = _sibling_path(component, "executor")
    if not os.path.isfile(path):
        return f"it has no executor: write {path} with {_EXECUTE}"
    return _missing_name(("execute",), path, f"no function execute: write {_EXECUTE}")


def driver_problem(component: type[Component]) -> str | None:
    """Explains why a driver has no effect; None if it defines a driver function or is absent."""
    path = _sibling_path(component, "driver")
    if not os.path.isfile(path):
        return None
    return _missing_name(_DRIVER_FUNCTIONS, path, f"neither {' nor '.join(_DRIVER_FUNCTIONS)}")


def _sibling_path(component: type[Component], name: str) -> str:
    """Returns the path of a file beside that of the class, whether the file exists or not."""
    own = reference(component)
    found = neighbour_file(own, name)
    if found is not None:
        return found.path
    return os.path.join(os.path.dirname(source_file(own).path), f"{name}.py")


def _missing_name(wanted: Collection[str], path: str, missing: str) -> str | None:
    """Reports `missing` if a file binds none of the wanted names."""
    try:
        with tokenize.open(path) as file:
            source = file.read()
        names = symtable.symtable(source, path, "exec").get_identifiers()
        has_one = not names.isdisjoint(wanted) or _has_star_import(source)
    except (SyntaxError, ValueError) as error:
        return f"{path} is not Python: {error}"
    return None if has_one else f"{path} has {missing}"


def _has_star_import(source: str) -> bool:
    """Returns whether a file has `from module import *`, whose names are not known statically."""
    return any(
        isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
        for node in ast.parse(source).body
    )
