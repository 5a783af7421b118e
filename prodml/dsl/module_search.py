"""Finds the files of modules as an import would, without importing anything."""

from __future__ import annotations

import functools
import importlib.machinery
import os
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from prodml.dsl.distributions import owning_distribution

_PRODML = str(Path(__file__).resolve().parents[1])
_SUFFIXES = (
    *importlib.machinery.EXTENSION_SUFFIXES,
    *importlib.machinery.SOURCE_SUFFIXES,
    *importlib.machinery.BYTECODE_SUFFIXES,
)


FileState = tuple[int, int, int]
"""A value that changes whenever a file does: modification time, change time and size."""


class Origin(StrEnum):
    """Where a module comes from."""

    USER = "user"
    PRODML = "prodml"
    INSTALLED = "installed"
    STANDARD = "standard"


@dataclass(frozen=True)
class ModuleFile:
    """The file of a module.

    Attributes:
        name: the module's dotted name.
        root: the directory that its top-level package or module is imported from.
        label: the file's path relative to `root`, with slashes; the same in every checkout.
        path: absolute path of the file.
        origin: where the module comes from.
    """

    name: str
    root: str
    label: str
    path: str
    origin: Origin

    @property
    def package(self) -> str:
        """The package that a relative import in the file starts from; empty if absent."""
        if os.path.basename(self.label).startswith("__init__."):
            return self.name
        return self.name.rpartition(".")[0]

    @property
    def is_source(self) -> bool:
        """Whether the file is Python source, not an extension, bytecode or archive."""
        return self.path.endswith(".py")


def file_state(path: str) -> FileState:
    """Returns the state of a file.

    Raises:
        OSError: the file does not exist.
    """
    status = os.stat(path)
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size


def file_by_path(path: str) -> ModuleFile:
    """Returns a Python file that is loaded by its path; its root is its own resolved directory."""
    file = Path(path).resolve()
    return ModuleFile(file.stem, str(file.parent), file.name, str(file), Origin.USER)


def module_file(name: str, root: str | None = None) -> ModuleFile | None:
    """Finds the file of a module by its dotted name; None if absent.

    Args:
        root: a directory that is searched before `sys.path`.
    """
    found = ModuleFinder([root] if root else []).files(name)
    return found[-1] if found and found[-1].name == name else None


def import_root(name: str, file: str) -> str | None:
    """Returns the directory that a module was imported from; None if its file has another name."""
    base, _ = os.path.splitext(file)
    path = name.replace(".", os.sep)
    for end in (path, os.path.join(path, "__init__")):
        if base.endswith(f"{os.sep}{end}"):
            return base.removesuffix(f"{os.sep}{end}")
    return None


@functools.cache
def installed_directories() -> frozenset[str]:
    """Returns this interpreter's directories of installed distributions."""
    paths = sysconfig.get_paths()
    return frozenset(os.path.realpath(paths[kind]) for kind in ("purelib", "platlib"))


@functools.cache
def standard_directories() -> frozenset[str]:
    """Returns the directories of Python's standard library."""
    paths = sysconfig.get_paths()
    found = {os.path.realpath(paths[kind]) for kind in ("stdlib", "platstdlib")}
    return frozenset({*found, *(os.path.join(path, "lib-dynload") for path in found)})


class ModuleFinder:
    """Finds modules on the current `sys.path`.

    Directories are listed once, so create a new finder if files may have changed.

    Args:
        roots: directories that are searched before `sys.path`.
    """

    def __init__(self, roots: Iterable[str] = ()) -> None:
        self._places = list(dict.fromkeys(map(os.path.abspath, [*roots, *sys.path])))
        self._listing = functools.cache(_listing)
        self._origin_of = functools.cache(self._origin)
        self.files = functools.cache(self._files)

    def _files(self, name: str) -> tuple[ModuleFile, ...]:
        """Returns the files that importing a dotted name runs, packages first; empty if absent.

        The end of the name may be an attribute of a module, such as a function.
        """
        top, *rest = name.split(".")
        step = self._top_level(top)
        if step is None:
            return ()
        root, origin, parts = step.place, self._origin_of(top, step.place), [top]
        found: list[ModuleFile] = []
        while True:
            if step.file is not None:
                base = os.path.basename(step.file)
                label = "/".join([*parts, base] if step.inside else [*parts[:-1], base])
                found.append(ModuleFile(".".join(parts), root, label, step.file, origin))
            if not rest or not step.inside:
                return tuple(found)
            next_step = self._find_in(step.inside, rest[0])
            if next_step is None:
                return tuple(found)
            step = next_step
            parts.append(rest.pop(0))

    def is_namespace(self, name: str) -> bool:
        """Returns whether a dotted name is a namespace package (without `__init__.py`)."""
        found = self.files(name)
        return not found and self._exists(name)

    def origin(self, name: str) -> Origin | None:
        """Returns where a top-level module comes from; None if it does not exist."""
        step = self._top_level(name)
        return self._origin_of(name, step.place) if step else None

    def place(self, name: str) -> str | None:
        """Returns the directory that a top-level module is imported from; None if absent."""
        step = self._top_level(name)
        return step.place if step else None

    def _exists(self, name: str) -> bool:
        top, *rest = name.split(".")
        step = self._top_level(top)
        for part in rest:
            if step is None:
                return False
            step = self._find_in(step.inside, part)
        return step is not None

    def _top_level(self, name: str) -> _Step | None:
        if name == "prodml":
            place = os.path.dirname(_PRODML)
            return _Step(place, os.path.join(_PRODML, "__init__.py"), (_PRODML,))
        if name in sys.builtin_module_names:
            return None
        return self._find_in(self._places, name) or _from_other_finders(name)

    def _find_in(self, places: Iterable[str], name: str) -> _Step | None:
        portions = []
        for place in places:
            names = self._listing(place)
            if names is None:
                if (archive := _archived(place, name)) is not None:
                    return archive
                continue
            directory = os.path.join(place, name)
            inside = self._listing(directory) if name in names else None
            for suffix in _SUFFIXES:
                if inside is not None and f"__init__{suffix}" in inside:
                    file = os.path.join(directory, f"__init__{suffix}")
                    return _Step(place, file, (directory,))
            for suffix in _SUFFIXES:
                if f"{name}{suffix}" in names:
                    return _Step(place, os.path.join(place, f"{name}{suffix}"), ())
            if inside is not None:
                portions.append(directory)
        if portions:
            return _Step(os.path.dirname(portions[0]), None, tuple(portions))
        return None

    def _origin(self, name: str, place: str) -> Origin:
        if name == "prodml":
            return Origin.PRODML
        real = os.path.realpath(place)
        if real in standard_directories():
            return Origin.STANDARD
        if real in installed_directories():
            return Origin.INSTALLED
        # A directory of `pip install --target` also contains installed distributions. A
        # `.dist-info` alone does not prove it: the build of a project may have left one.
        listed = self._listing(place) or frozenset()
        has_metadata = any(entry.endswith(".dist-info") for entry in listed)
        if has_metadata and owning_distribution(name, place) is not None:
            return Origin.INSTALLED
        return Origin.USER


@dataclass(frozen=True)
class _Step:
    """A module or package: the directory it is in, its file, and where its own modules are."""

    place: str
    file: str | None
    inside: tuple[str, ...]


def _listing(directory: str) -> frozenset[str] | None:
    try:
        return frozenset(os.listdir(directory))
    except OSError:
        return None


def _archived(place: str, name: str) -> _Step | None:
    """Finds a module in a zip archive on the path; its file is the archive."""
    if not os.path.isfile(place):
        return None
    import zipimport

    try:
        found = zipimport.zipimporter(place).find_spec(name)
    except zipimport.ZipImportError:
        return None
    return _Step(os.path.dirname(place), place, ()) if found else None


def _from_other_finders(name: str) -> _Step | None:
    """Finds a module by other finders on `sys.meta_path`, such as those of editable installs."""
    own = (
        importlib.machinery.BuiltinImporter,
        importlib.machinery.FrozenImporter,
        importlib.machinery.PathFinder,
    )
    for finder in sys.meta_path:
        if finder in own:
            continue
        found = finder.find_spec(name, None)
        if found is None:
            continue
        inside = tuple(found.submodule_search_locations or ())
        file = found.origin if found.has_location else None
        if file is None and not inside:
            continue
        base = inside[0] if inside else str(file)
        return _Step(os.path.dirname(base), file, inside)
    return None
