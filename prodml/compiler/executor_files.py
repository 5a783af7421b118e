"""Finds the executor of a class component without importing it."""

from __future__ import annotations

import ast
import importlib.util
import os
import symtable
import tokenize
from pathlib import Path

from prodml.dsl.component import Component
from prodml.dsl.references import reference

_EXECUTE = "execute(context: ExecutorContext) -> None"


def executor_problem(component: type[Component]) -> str | None:
    """What keeps a node of this class from running; None if its `executor.py` has `execute`."""
    where = _expected_file(component)
    if not os.path.isfile(where):
        return f"it has no executor: write {where} with {_EXECUTE}"
    try:
        with tokenize.open(where) as file:
            source = file.read()
        names = symtable.symtable(source, where, "exec")
        if "execute" in names.get_identifiers() or _imports_all(source):
            return None
    except (SyntaxError, ValueError) as error:
        return f"its executor is not Python: {error}"
    return f"its executor {where} has no function execute: write {_EXECUTE}"


def _expected_file(component: type[Component]) -> str:
    where, _, _ = reference(component).rpartition(":")
    if where.endswith(".py"):
        return str(Path(where).with_name("executor.py"))
    package, _, _ = where.rpartition(".")
    found = importlib.util.find_spec(f"{package}.executor")
    if found is not None and found.origin is not None:
        return found.origin
    parent = importlib.util.find_spec(package)
    folder = next(iter(parent.submodule_search_locations or ()), "") if parent else ""
    return os.path.join(folder, "executor.py")


def _imports_all(source: str) -> bool:
    """Whether names come from `from module import *`, where only an import could tell which."""
    return any(
        isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
        for node in ast.parse(source).body
    )
