"""Finds the part of a file that one of its functions or classes depends on.

A pipeline's file contains functions that become components, and much that they do not use. These
statements of the file count: the definition; the definitions and imports of all names that it uses,
directly or indirectly; and each statement that does more than bind a name, because it may change
what the definition uses. If names cannot be followed, the whole file counts.

Functions can change objects of the module while the pipeline is built. Only these changes are
followed: if a function assigns to a name, or to an attribute or item of it, or calls a method of it
that changes a container, the function counts if the name counts.
"""

from __future__ import annotations

import ast
import builtins
import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prodml.orchestration.code.source_names import (
    bound_names,
    imports_by_name,
    names_of_import,
    root_name,
    used_names,
)
from prodml.orchestration.code.source_text import (
    digest_of,
    imported_names,
    is_type_checking,
    parsed,
    statements,
)

IsForeign = Callable[[str], bool]
"""Whether an imported dotted name is not user code: importing or calling it cannot change the
definitions of a user's file."""

_DYNAMIC = frozenset(
    {"__import__", "compile", "eval", "exec", "globals", "import_module", "locals", "vars"}
)


@dataclass(frozen=True)
class Definition:
    """The part of a file that counts.

    Attributes:
        digest: digest of the statements.
        imports: dotted names that the statements import; relative names keep their dots.
    """

    digest: str
    imports: tuple[str, ...]


def definition(content: bytes, name: str, is_foreign: IsForeign) -> Definition | None:
    """Finds the part of a file that a top-level function or class depends on.

    Returns:
        None if the whole file counts: it does not parse, does not define the name, imports `*`,
        or uses names dynamically.
    """
    tree = parsed(content)
    if tree is None:
        return None
    body = [part for node in tree.body if not _does_nothing(node) for part in _parts(node)]
    if any(_imports_star(node) for node in statements(body)):
        return None
    reached = _Module(body, is_foreign).reached_from(name)
    if reached is None or any(_is_dynamic(node) for node in reached):
        return None
    lines = content.splitlines()
    text = b"\n".join(_text(node, lines) for node in reached)
    return Definition(digest_of(text), tuple(sorted(set(imported_names(statements(reached))))))


class _Module:
    """The statements of a file, with the names that each of them binds and uses."""

    def __init__(self, body: Sequence[ast.stmt], is_foreign: IsForeign) -> None:
        self._body = body
        self._binders: dict[str, list[ast.stmt]] = defaultdict(list)
        for node in body:
            for name in bound_names(node):
                self._binders[name].append(node)
        self._is_foreign = is_foreign
        self._imported = dict(imports_by_name(body))
        self._used = {node: frozenset(used_names(node)) for node in body}
        self._callable = {
            node.name
            for node in statements(body)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        }

    def reached_from(self, name: str) -> list[ast.stmt] | None:
        """The statements that count, in the order of the file; None if the name is not bound."""
        if name not in self._binders:
            return None
        pending = [*self._binders[name], *(node for node in self._body if self._has_effect(node))]
        reached = set()
        while pending:
            node = pending.pop()
            if node in reached:
                continue
            reached.add(node)
            for used in self._used[node]:
                pending += self._binders.get(used, ())
        return [node for node in self._body if node in reached]

    def _has_effect(self, node: ast.AST) -> bool:
        """Whether a statement may do more than bind a name when the file is loaded."""
        match node:
            case ast.Import() | ast.ImportFrom():
                return self._is_imported_for_its_effect(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
                return self._decorates(node) or any(map(self._calls_user_code, defaults))
            case ast.ClassDef():
                # A base class in user code may register its subclasses.
                bases = [*node.bases, *(keyword.value for keyword in node.keywords)]
                inner = (self._has_effect(each) for each in node.body if not _does_nothing(each))
                return self._decorates(node) or any(map(self._is_user_code, bases)) or any(inner)
            case ast.Assign(targets=targets):
                is_plain = all(isinstance(target, ast.Name | ast.Tuple) for target in targets)
                return not is_plain or self._calls_user_code(node.value)
            case ast.AnnAssign(target=ast.Name(), value=value):
                return value is not None and self._calls_user_code(value)
            case ast.If() | ast.Try():
                return any(map(self._has_effect, _inner_statements(node)))
            case ast.Pass():
                return False
            case _:
                return True

    def _is_imported_for_its_effect(self, node: ast.Import | ast.ImportFrom) -> bool:
        """Whether nothing in the file uses what a statement imports from user code."""
        if all(self._is_foreign(name) for name in imported_names([node])):
            return False
        names = set(names_of_import(node))
        return not any(names & used for used in self._used.values())

    def _decorates(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
        """Whether a statement has a decorator that may register the decorated object."""
        return any(not self._is_harmless(each) for each in node.decorator_list)

    def _is_harmless(self, decorator: ast.expr) -> bool:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = root_name(called)
        source = self._imported.get(name or "", "")
        return name in vars(builtins) or source.partition(".")[0] in _HARMLESS

    def _calls_user_code(self, value: ast.expr) -> bool:
        """Whether an expression may call code that the file, or other user code, defines."""
        calls = [each for each in ast.walk(value) if isinstance(each, ast.Call)]
        if any(self._is_user_code(call.func) for call in calls):
            return True
        # An argument of a call may be called as well.
        return any(
            isinstance(each, ast.Name) and self._is_user_callable(each.id)
            for call in calls
            for each in ast.walk(call)
        )

    def _is_user_code(self, expression: ast.expr) -> bool:
        name = root_name(expression)
        if name is None or name in ("delattr", "setattr"):
            return True
        source = self._imported.get(name)
        if source is not None:
            return not self._is_foreign(source)
        return name in self._binders or name not in vars(builtins)

    def _is_user_callable(self, name: str) -> bool:
        source = self._imported.get(name)
        return name in self._callable or (source is not None and not self._is_foreign(source))


_HARMLESS = frozenset({"contextlib", "dataclasses", "enum", "functools", "prodml", "typing"})
"""Packages whose decorators only wrap the decorated object."""


def _does_nothing(node: ast.stmt) -> bool:
    """Whether a statement does nothing when the file is loaded as a module."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If) and isinstance(node.test, ast.Compare):
        return "__main__" in ast.unparse(node.test) and not node.orelse
    return is_type_checking(node) and isinstance(node, ast.If) and not node.orelse


def _imports_star(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)


def _is_dynamic(node: ast.stmt) -> bool:
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and each.id in _DYNAMIC:
            return True
        if isinstance(each, ast.Attribute) and each.attr in ("import_module", "modules"):
            return True
    return False


def _inner_statements(node: ast.AST) -> Iterator[ast.AST]:
    for block in ("body", "orelse", "finalbody"):
        yield from getattr(node, block, ())
    for handler in getattr(node, "handlers", ()):
        yield from handler.body


def _parts(node: ast.stmt) -> list[ast.stmt]:
    """Splits an import of several names, so that only the names that are used count."""
    if not isinstance(node, ast.Import | ast.ImportFrom):
        return [node]
    parts: list[ast.stmt] = []
    for alias in node.names:
        part = copy.copy(node)
        part.names = [alias]
        parts.append(part)
    return parts


def _text(node: ast.stmt, lines: Sequence[bytes]) -> bytes:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return ast.unparse(node).encode()
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(each.lineno for each in decorators)])
    return b"\n".join(lines[first - 1 : node.end_lineno])
