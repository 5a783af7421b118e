"""Reads a source file: the digest of its bytes, and the modules that it imports.

Imports are found with Python's `ast`, without running anything. Imports inside functions count;
imports with a computed name are not found.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prodml.dsl.module_search import FileState, file_state


@dataclass(frozen=True)
class SourceText:
    """A source file.

    Attributes:
        digest: digest of the file's bytes.
        imports: imported dotted names, sorted; relative names keep their dots.
    """

    digest: str
    imports: tuple[str, ...]


def source_text(path: str, *, is_source: bool = True) -> SourceText:
    """Reads a file; a file that does not parse, or is not source code, has no imports."""
    return _read(path, file_state(path), is_source)


@functools.lru_cache(maxsize=4096)
def _read(path: str, state: FileState, is_source: bool) -> SourceText:
    """Cached while the file does not change: one run reads a file once for each node."""
    with open(path, "rb") as file:
        content = file.read()
    tree = parsed(content) if is_source else None
    names = imported_names(statements([tree])) if tree is not None else ()
    return SourceText(digest_of(content), tuple(sorted(set(names))))


def digest_of(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=20).hexdigest()


def parsed(content: bytes) -> ast.Module | None:
    """The syntax tree of a file; None if it does not parse."""
    try:
        return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return None


def imported_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The names in all import statements among `nodes`: `from a import b` yields a and a.b."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield base
            joint = "" if base.endswith(".") else "."
            yield from (f"{base}{joint}{alias.name}" for alias in node.names if alias.name != "*")


def statements(roots: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All statements below `roots` that can run, without their expressions.

    An expression contains no import, and nothing below `if TYPE_CHECKING` runs.
    """
    pending = list(roots)
    while pending:
        node = pending.pop()
        yield node
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            if block == "body" and is_type_checking(node):
                continue
            inner = getattr(node, block, ())
            # The body of a lambda or of a conditional expression is not a list of statements.
            pending += inner if isinstance(inner, list) else ()


def is_type_checking(node: ast.AST) -> bool:
    """Whether a statement is `if TYPE_CHECKING:`."""
    if not isinstance(node, ast.If):
        return False
    name = node.test.attr if isinstance(node.test, ast.Attribute) else None
    return (node.test.id if isinstance(node.test, ast.Name) else name) == "TYPE_CHECKING"
