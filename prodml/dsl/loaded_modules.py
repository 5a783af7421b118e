"""Imports user modules once, and all of them again if a file has changed.

A run uses one module of each name, so that a class has one identity. In a long-lived process, such
as a notebook, the next load detects a changed file. All user modules are then imported again,
because any of them may refer to definitions of the changed file.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from types import ModuleType

from prodml.dsl.module_search import (
    FileState,
    ModuleFinder,
    file_state,
    import_root,
    standard_directories,
)

BY_PATH = "prodml_user_"
"""Prefix of the names of modules that are loaded by path."""


class LoadedModules:
    """Manages the user modules in `sys.modules`, and `sys.path`, for the whole process."""

    def __init__(self) -> None:
        # Nodes may run in concurrent threads.
        self._lock = threading.RLock()
        self._states: dict[str, FileState | None] = {}
        self._not_users: set[str] = set()
        self._imported_by_host: frozenset[str] = frozenset()
        self._last_check = 0
        self._displaced: dict[str, list[tuple[str, str, ModuleType]]] = defaultdict(list)

    @contextlib.contextmanager
    def importing(self, root: str) -> Iterator[None]:
        """Prepares an import of user code: unloads changed modules, and searches `root` first.

        Args:
            root: the directory that the code's own modules are imported from.
        """
        with self._lock:
            if not self._last_check:
                # Modules of the program that uses prodml, such as a notebook. They are unloaded
                # only if their own files have changed.
                self._imported_by_host = frozenset(sys.modules)
            self._unload_changed()
            self._search_first(root)
            try:
                yield
            finally:
                self._record()

    def names(self) -> list[str]:
        """Returns the names of the user modules in `sys.modules`, in alphabetical order."""
        with self._lock:
            return sorted(name for name, _ in self._user_modules())

    def _unload_changed(self) -> None:
        last_check, self._last_check = self._last_check, time.time_ns()
        loaded = [(name, file, sys.modules[name]) for name, file in self._user_modules()]
        displaced = [each for group in self._displaced.values() for each in group]
        changed = []
        for name, file, module in [*loaded, *displaced]:
            known, state = self._states.get(file), _state(file)
            # If a function has imported the module since the last check, the file may have changed
            # after that import.
            is_imported_since = known is None and name not in self._imported_by_host
            is_newer = state is None or (is_imported_since and last_check < state[1])
            if is_newer or known not in (None, state):
                changed.append((name, module))
            self._states[file] = state
        if not changed:
            return
        own = [(name, module) for name, _, module in loaded if name not in self._imported_by_host]
        for _, module in changed:
            _remove_bytecode(module)
        for name, module in [*changed, *own]:
            if sys.modules.get(name) is module:
                del sys.modules[name]
        self._states.clear()
        self._displaced.clear()

    def _record(self) -> None:
        for _, file in self._user_modules():
            if file not in self._states:
                self._states[file] = _state(file)

    def _user_modules(self) -> list[tuple[str, str]]:
        """Returns the names of the loaded user modules, with the file or directory of each."""
        found = []
        for name in sys.modules.keys() - self._not_users:
            module = sys.modules.get(name)
            if module is None:
                continue
            place = _file_or_directory(module)
            if name != "__main__" and place is not None and _is_user_code(place):
                found.append((name, place))
            else:
                self._not_users.add(name)
        return found

    def _search_first(self, root: str) -> None:
        if sys.path[:1] != [root]:
            with contextlib.suppress(ValueError):
                sys.path.remove(root)
            sys.path.insert(0, root)
        self._displace_namesakes(root)

    def _displace_namesakes(self, root: str) -> None:
        """Removes modules of other directories from `sys.modules` if `root` has namesakes.

        They are restored when their own directory is searched first again.
        """
        finder = ModuleFinder([root])
        loaded = self._user_modules()
        moved: dict[str, str] = {}
        for name, file in loaded:
            place = None if name.startswith(BY_PATH) else import_root(name, file)
            if place not in (None, root) and _is_in(finder, root, name, file):
                moved[name] = place
        tops = {name.partition(".")[0]: place for name, place in moved.items()}
        for name, file in loaded:
            # A package without `__init__.py` keeps references to the modules imported from it.
            is_namespace = os.path.isdir(file)
            place = tops.get(name.partition(".")[0]) if is_namespace else moved.get(name)
            if place is not None:
                self._displaced[place].append((name, file, sys.modules.pop(name)))
        for name, _, module in self._displaced.pop(root, ()):
            sys.modules.setdefault(name, module)


LOADED = LoadedModules()


def add_to_search_path(roots: Iterable[str]) -> None:
    """Makes modules in these directories importable."""
    for root in reversed(tuple(roots)):
        if root not in sys.path:
            sys.path.insert(0, root)


def _is_user_code(file: str) -> bool:
    if "site-packages" in file or "dist-packages" in file or file.startswith(_NOT_USER_CODE):
        return False
    return not file.startswith("<")


_NOT_USER_CODE = tuple(
    f"{directory}{os.sep}"
    for directory in (*standard_directories(), os.path.dirname(os.path.dirname(__file__)))
)


def _file_or_directory(module: object) -> str | None:
    """Returns the file of a module, or the directory of a namespace package; None if absent."""
    # `getattr` would load a lazy module.
    known = vars(module) if isinstance(module, ModuleType) else {}
    file = known.get("__file__")
    if isinstance(file, str):
        return file
    return next((path for path in known.get("__path__") or () if isinstance(path, str)), None)


def _is_in(finder: ModuleFinder, root: str, name: str, file: str) -> bool:
    """Returns whether importing a loaded module's name would find another file, in `root`."""
    found = finder.files(name)
    if found and found[-1].name == name:
        path = found[-1].path
        return path.startswith(f"{root}{os.sep}") and not os.path.samefile(path, file)
    # `root` has another package of that name.
    return bool(found) and found[0].root == root


def _state(place: str) -> FileState | None:
    """Returns the state of a file; None if it does not exist.

    A directory has a constant state, because Python changes it whenever it writes bytecode there.
    """
    try:
        return (0, 0, 0) if os.path.isdir(place) else file_state(place)
    except OSError:
        return None


def _remove_bytecode(module: ModuleType) -> None:
    # Python validates bytecode by the file's size and time in seconds, so it may be outdated.
    cached = vars(module).get("__cached__")
    if isinstance(cached, str):
        with contextlib.suppress(OSError):
            os.unlink(cached)
