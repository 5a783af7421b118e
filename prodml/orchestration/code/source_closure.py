"""Finds the code that a module depends on: files, imported modules and versions of libraries.

Imports are followed into user modules (in the project, on PYTHONPATH or in an editable
installation), into prodml, and into the package in which the search starts. All other installed
packages count by the version of their distribution.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prodml.dsl.distributions import distribution_version
from prodml.dsl.module_search import ModuleFile, ModuleFinder, Origin
from prodml.orchestration.code.source_text import source_text


@dataclass(frozen=True)
class SourceFile:
    """A file with the digest of its content."""

    module: ModuleFile
    digest: str


@dataclass(frozen=True)
class SourceClosure:
    """Files, sorted by label; and pairs of distribution and version, sorted."""

    files: tuple[SourceFile, ...]
    versions: tuple[tuple[str, str], ...]


def source_closure(start: ModuleFile, imports: Sequence[str] | None = None) -> SourceClosure:
    """Finds all code that a module depends on, directly or indirectly.

    A file that does not parse counts by its bytes.

    Args:
        start: the module; its parent packages count as well.
        imports: if given, only these names are followed, instead of all imports of the module, and
            the module itself is excluded.
    """
    # The directory of the module is searched first, as when the module is loaded.
    finder = ModuleFinder([start.root])
    own_package = start.name.partition(".")[0]
    files: dict[str, SourceFile] = {}
    versions: set[tuple[str, str]] = set()
    pending = list(finder.files(start.name)[:-1]) if "." in start.name else []
    if imports is None:
        pending.append(start)
    else:
        first = _resolved(imports, start, finder, own_package)
        pending += first.modules
        versions.update(first.versions)
    while pending:
        module = pending.pop()
        if module.label in files:
            continue
        if module.origin is Origin.PRODML:
            links = _prodml_links(module)
        else:
            links = _links(module, finder, own_package)
        files[module.label] = SourceFile(module, links.digest)
        pending += links.modules
        versions.update(links.versions)
    return SourceClosure(tuple(files[label] for label in sorted(files)), tuple(sorted(versions)))


@dataclass(frozen=True)
class _Links:
    """The imports of one file: modules to follow, and libraries by distribution and version."""

    digest: str
    modules: tuple[ModuleFile, ...]
    versions: tuple[tuple[str, str], ...]


@functools.lru_cache(maxsize=4096)
def _prodml_links(module: ModuleFile) -> _Links:
    """Cached for the life of the process, which does not reload prodml's modules either."""
    return _links(module, _prodml_finder(), "prodml")


@functools.cache
def _prodml_finder() -> ModuleFinder:
    return ModuleFinder()


def _links(module: ModuleFile, finder: ModuleFinder, own_package: str) -> _Links:
    text = source_text(module.path, is_source=module.is_source)
    found = _resolved(text.imports, module, finder, own_package)
    return _Links(text.digest, found.modules, found.versions)


def _resolved(
    names: Iterable[str], importer: ModuleFile, finder: ModuleFinder, own_package: str
) -> _Links:
    modules: dict[ModuleFile, None] = {}
    versions: set[tuple[str, str]] = set()
    for name in names:
        absolute = _absolute(name, importer)
        top = absolute.partition(".")[0]
        origin = finder.origin(top) if top else None
        version = None
        if origin is Origin.INSTALLED and top != own_package:
            if finder.is_namespace(absolute):
                continue
            version = distribution_version(
                _import_package(finder, absolute), str(finder.place(top))
            )
        if version is not None:
            versions.add(version)
        elif origin not in (Origin.STANDARD, None):
            # Also modules among the installed packages that belong to no distribution.
            modules.update(dict.fromkeys(finder.files(absolute)))
    return _Links("", tuple(modules), tuple(sorted(versions)))


def _absolute(name: str, importer: ModuleFile) -> str:
    """The absolute name for a relative import."""
    rest = name.lstrip(".")
    level = len(name) - len(rest)
    if level == 0:
        return name
    package = importer.package.split(".") if importer.package else []
    base = package[: len(package) - level + 1]
    return ".".join([*base, *([rest] if rest else [])])


def _import_package(finder: ModuleFinder, name: str) -> str:
    """The first package of a name that is not a namespace package: one distribution has it."""
    parts = name.split(".")
    lengths = range(1, len(parts) + 1)
    packages = (".".join(parts[:length]) for length in lengths)
    return next((package for package in packages if not finder.is_namespace(package)), name)
