"""Finds the names that the statements of a file bind, change and use."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from prodml.orchestration.code.source_text import statements

_CHANGING_METHODS = frozenset(
    {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "put", "register"}
    | {"remove", "reverse", "setdefault", "sort", "update"}
)


def bound_names(node: ast.stmt) -> Iterator[str]:
    """The names that a top-level statement binds, or whose objects it can change."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        yield from _changed_names(node)
        return
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load):
            yield each.id
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield each.name
        elif isinstance(each, ast.Import | ast.ImportFrom):
            yield from names_of_import(each)


def _changed_names(node: ast.AST) -> Iterator[str]:
    """Module-level names that a function or class rebinds, or whose objects it changes."""
    own, changed = set(), set()
    for each in ast.walk(node):
        match each:
            case ast.Global(names=names):
                yield from names
            case ast.arg(arg=name):
                own.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                own.add(name)
            case ast.Attribute(ctx=ast.Store() | ast.Del()):
                changed.add(root_name(each))
            case ast.Subscript(ctx=ast.Store() | ast.Del()):
                changed.add(root_name(each))
            case ast.Call(func=ast.Attribute(attr=method) as called) if method in _CHANGING_METHODS:
                changed.add(root_name(called))
    yield from (name for name in changed - own if name is not None)


def imports_by_name(body: Iterable[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Pairs of each imported name and the dotted name that it refers to."""
    for node in statements(body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                base = "." * node.level + (node.module or "")
                yield alias.asname or alias.name, f"{base}.{alias.name}"


def names_of_import(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The names that an import statement binds."""
    for alias in node.names:
        yield alias.asname or alias.name.partition(".")[0]


def used_names(node: ast.AST) -> Iterator[str]:
    """The names that a statement uses, also in string annotations."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Store):
            yield each.id
        for annotation in _annotations(each):
            for text in ast.walk(annotation):
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield from _names_in(text.value)


def _annotations(node: ast.AST) -> Iterator[ast.expr]:
    for place in ("annotation", "returns"):
        found = getattr(node, place, None)
        if found is not None:
            yield found


def _names_in(annotation: str) -> Iterator[str]:
    try:
        tree = ast.parse(annotation, mode="eval")
    except (SyntaxError, ValueError):
        return
    yield from (each.id for each in ast.walk(tree) if isinstance(each, ast.Name))


def root_name(node: ast.AST) -> str | None:
    """The name at the start of an expression such as `a.b[0].c`; None if it has none."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None
