"""Which code a result depends on: a file, the local modules it imports, and libraries' versions.

Found by reading import statements (Python's `ast`), without running anything. Imports inside
functions count; imports by computed name are not seen.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_DISTRIBUTIONS = {
    "apache_beam": "apache-beam",
    "google": "protobuf",
    "keras": "keras",
    "ml_metadata": "ml-metadata",
    "sklearn": "scikit-learn",
    "tensorflow_data_validation": "tensorflow-data-validation",
    "tensorflow_metadata": "tensorflow-metadata",
    "tensorflow_model_analysis": "tensorflow-model-analysis",
    "tensorflow_serving": "tensorflow-serving-api",
    "tensorflow_transform": "tensorflow-transform",
    "tfx_bsl": "tfx-bsl",
    "yaml": "PyYAML",
}
"""Distributions whose name is not that of what they bring; the whole map takes Python 0.3 s."""


@dataclass(frozen=True)
class SourceClosure:
    """Local files, sorted, with a digest of each; versions of other libraries by distribution."""

    files: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """Changes when code does: not with the time of a file or the place of the project."""
        root = os.path.commonpath([path for path, _ in self.files]) if self.files else ""
        lines = [f"{os.path.relpath(path, root)}\0{digest}" for path, digest in self.files]
        return hashlib.blake2b("\n".join(lines).encode(), digest_size=20).hexdigest()


def source_closure(path: str) -> SourceClosure:
    """Everything that a Python file imports, directly or not.

    Local is what lies under the file's own directory, or, for a file in a package, under the
    package's. A file that does not parse counts by its bytes.
    """
    start = Path(path).resolve()
    root = str(_import_root(start))
    pending = [str(start)]
    digests: dict[str, str] = {}
    libraries: set[str] = set()
    # Most names are imported by many files; what is on the disk is asked for once a closure.
    local_files, real_path = functools.cache(_local_files), functools.cache(os.path.realpath)
    while pending:
        file = pending.pop()
        if file in digests:
            continue
        imports = _imports(file, os.stat(file).st_mtime_ns)
        digests[file] = imports.digest
        for name in imports.names:
            local = local_files(os.path.dirname(file) if name.startswith(".") else root, name)
            pending += map(real_path, local)
            if not local and not name.startswith("."):
                libraries.add(name.partition(".")[0])
    versions = ((_DISTRIBUTIONS.get(name, name), _version(name)) for name in libraries)
    known = tuple(sorted((name, version) for name, version in versions if version))
    return SourceClosure(tuple(sorted(digests.items())), known)


@dataclass(frozen=True)
class _Imports:
    digest: str
    names: tuple[str, ...]


@functools.lru_cache(maxsize=4096)
def _imports(path: str, modified: int) -> _Imports:
    """Dotted names that a file imports; relative ones keep their dots.

    Kept by modification time: one run asks for the same files once a node.
    """
    content = Path(path).read_bytes()
    digest = hashlib.blake2b(content, digest_size=20).hexdigest()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return _Imports(digest, ())
    return _Imports(digest, tuple(sorted(set(_imported_names(tree)))))


def _imported_names(tree: ast.AST) -> Iterator[str]:
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield base
            joint = "" if base.endswith(".") else "."
            yield from (f"{base}{joint}{alias.name}" for alias in node.names)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All statements, without the expressions in them: no import stands in an expression."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, block, ())
            # The body of a lambda and of a conditional expression is no block.
            pending += inner if isinstance(inner, list) else ()


def _import_root(file: Path) -> Path:
    """The directory from which the file's own package is imported."""
    root = file.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    return root


def _local_files(base: str, name: str) -> list[str]:
    """The files that importing a name runs.

    Args:
        base: the directory to look in: the importer's own where the name is relative.
    """
    level = len(name) - len(name.lstrip("."))
    for _ in range(level - 1):
        base = os.path.dirname(base)
    target, found = base, []
    for part in filter(None, name.lstrip(".").split(".")):
        target = os.path.join(target, part)
        for candidate in (os.path.join(target, "__init__.py"), f"{target}.py"):
            if os.path.isfile(candidate):
                found.append(candidate)
        if not os.path.isdir(target):
            break
    return found


@functools.lru_cache(maxsize=1024)
def _version(name: str) -> str | None:
    if name in sys.stdlib_module_names:
        return None
    try:
        return importlib.metadata.version(_DISTRIBUTIONS.get(name, name))
    except importlib.metadata.PackageNotFoundError:
        return None
