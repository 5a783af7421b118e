"""The user modules that this process has imported: each once, and again if a file has changed.

All of a run shares one module of each name, so that a class has one identity. In a process that
lives long, such as a notebook, a file that changes is noticed by the next load; then all user
modules are imported again, for any of them may hold what the file has defined.
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
"""What the names of modules that were loaded by path start with."""


class LoadedModules:
    """Keeps track of `sys.modules` and `sys.path`, which belong to the process."""

    def __init__(self) -> None:
        # Nodes may run in threads beside one another.
        self._lock = threading.RLock()
        self._states: dict[str, FileState | None] = {}
        self._foreign: set[str] = set()
        self._host: frozenset[str] = frozenset()
        self._checked = 0
        self._displaced: dict[str, list[tuple[str, str, ModuleType]]] = defaultdict(list)

    @contextlib.contextmanager
    def importing(self, root: str) -> Iterator[None]:
        """Around an import of user code: changed modules are forgotten, `root` is searched first.

        Args:
            root: the directory that the code's own modules are imported from.
        """
        with self._lock:
            if not self._checked:
                # Imported by whoever uses prodml, such as a notebook: it imports them again
                # itself, unless they have changed.
                self._host = frozenset(sys.modules)
            self._forget_changed()
            self._search_first(root)
            try:
                yield
            finally:
                self._record()

    def _forget_changed(self) -> None:
        checked, self._checked = self._checked, time.time_ns()
        loaded = [(name, file, sys.modules[name]) for name, file in self._users_modules()]
        aside = [each for group in self._displaced.values() for each in group]
        changed = []
        for name, file, module in [*loaded, *aside]:
            known, state = self._states.get(file), _state(file)
            # A module that a function has imported since the last look may be older than its file
            # is now.
            is_imported_since = known is None and name not in self._host
            is_newer = state is None or (is_imported_since and checked < state[1])
            if is_newer or known not in (None, state):
                changed.append((name, module))
            self._states[file] = state
        if not changed:
            return
        ours = [(name, module) for name, _, module in loaded if name not in self._host]
        for _, module in changed:
            _remove_bytecode(module)
        for name, module in [*changed, *ours]:
            if sys.modules.get(name) is module:
                del sys.modules[name]
        self._states.clear()
        self._displaced.clear()

    def _record(self) -> None:
        for _, file in self._users_modules():
            if file not in self._states:
                self._states[file] = _state(file)

    def _users_modules(self) -> list[tuple[str, str]]:
        """Names of the user modules that are loaded now, with the file or directory of each."""
        found = []
        for name in sys.modules.keys() - self._foreign:
            module = sys.modules.get(name)
            if module is None:
                continue
            place = _file_or_directory(module)
            if name != "__main__" and place is not None and _is_users(place):
                found.append((name, place))
            else:
                self._foreign.add(name)
        return found

    def _search_first(self, root: str) -> None:
        if sys.path[:1] != [root]:
            with contextlib.suppress(ValueError):
                sys.path.remove(root)
            sys.path.insert(0, root)
        self._displace_namesakes(root)

    def _displace_namesakes(self, root: str) -> None:
        """Sets modules of other directories aside if `root` has others of the same name."""
        finder = ModuleFinder([root])
        loaded = self._users_modules()
        moved: dict[str, str] = {}
        for name, file in loaded:
            place = None if name.startswith(BY_PATH) else import_root(name, file)
            if place not in (None, root) and _is_in(finder, root, name, file):
                moved[name] = place
        tops = {name.partition(".")[0]: place for name, place in moved.items()}
        for name, file in loaded:
            # A package without `__init__.py` holds on to the modules that were imported from it.
            is_namespace = os.path.isdir(file)
            place = tops.get(name.partition(".")[0]) if is_namespace else moved.get(name)
            if place is not None:
                self._displaced[place].append((name, file, sys.modules.pop(name)))
        for name, _, module in self._displaced.pop(root, ()):
            sys.modules.setdefault(name, module)


LOADED = LoadedModules()


def search_also(roots: Iterable[str]) -> None:
    """Makes modules in these directories importable."""
    for root in reversed(tuple(roots)):
        if root not in sys.path:
            sys.path.insert(0, root)


def _is_users(file: str) -> bool:
    if "site-packages" in file or "dist-packages" in file or file.startswith(_FOREIGN):
        return False
    return not file.startswith("<")


_FOREIGN = tuple(
    f"{directory}{os.sep}"
    for directory in (*standard_directories(), os.path.dirname(os.path.dirname(__file__)))
)


def _file_or_directory(module: object) -> str | None:
    """The file of a module, or the directory of a package without one; None if it has neither."""
    # Not getattr: that would load a lazy module.
    known = vars(module) if isinstance(module, ModuleType) else {}
    file = known.get("__file__")
    if isinstance(file, str):
        return file
    return next((path for path in known.get("__path__") or () if isinstance(path, str)), None)


def _is_in(finder: ModuleFinder, root: str, name: str, file: str) -> bool:
    """Whether importing a loaded module's name would find another file, in `root`."""
    found = finder.files(name)
    if found and found[-1].name == name:
        path = found[-1].path
        return path.startswith(f"{root}{os.sep}") and not os.path.samefile(path, file)
    # Its package is another one there.
    return bool(found) and found[0].root == root


def _state(place: str) -> FileState | None:
    """None if there is no such file; a directory changes whenever Python writes bytecode there."""
    try:
        return (0, 0, 0) if os.path.isdir(place) else file_state(place)
    except OSError:
        return None


def _remove_bytecode(module: ModuleType) -> None:
    # Python takes bytecode for that of a file by second and size, so it may be that of before.
    cached = vars(module).get("__cached__")
    if isinstance(cached, str):
        with contextlib.suppress(OSError):
            os.unlink(cached)
