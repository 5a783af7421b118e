"""What a file of source holds: a digest of its bytes, and the modules that it imports.

Found with Python's `ast`, without running anything. Imports inside functions count; imports by
computed name are not seen.
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
    """A file of source.

    Attributes:
        digest: of its bytes.
        imports: dotted names, sorted; relative ones keep their dots.
    """

    digest: str
    imports: tuple[str, ...]


def source_text(path: str, *, is_source: bool = True) -> SourceText:
    """Reads a file; one that does not parse, or is no source, imports nothing."""
    return _read(path, file_state(path), is_source)


@functools.lru_cache(maxsize=4096)
def _read(path: str, state: FileState, is_source: bool) -> SourceText:
    """Kept while the file is in the same state: one run asks for a file once a node."""
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
    """The names that import statements among `nodes` name: `from a import b` gives a and a.b."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield base
            joint = "" if base.endswith(".") else "."
            yield from (f"{base}{joint}{alias.name}" for alias in node.names if alias.name != "*")


def statements(roots: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All statements below `roots` that can run, without the expressions in them: no import is in
    an expression, and nothing under `if TYPE_CHECKING` runs."""
    pending = list(roots)
    while pending:
        node = pending.pop()
        yield node
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            if block == "body" and is_type_checking(node):
                continue
            inner = getattr(node, block, ())
            # The body of a lambda and of a conditional expression is no block.
            pending += inner if isinstance(inner, list) else ()


def is_type_checking(node: ast.AST) -> bool:
    """Whether a statement is `if TYPE_CHECKING:`."""
    if not isinstance(node, ast.If):
        return False
    name = node.test.attr if isinstance(node.test, ast.Attribute) else None
    return (node.test.id if isinstance(node.test, ast.Name) else name) == "TYPE_CHECKING"
