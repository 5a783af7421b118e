"""References to classes, by which a spec names classes and any process can load them.

| class in                               | reference                             |
|----------------------------------------|---------------------------------------|
| prodml or another installed package    | `package.module:Class`                |
| a user's module, imported by its name  | `/directory//package.module:Class`    |
| a user's file, loaded by its path      | `/directory/file.py:Class`            |
"""

from __future__ import annotations

import importlib
import inspect
import operator
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from prodml.dsl.loaded_modules import BY_PATH
from prodml.dsl.module_search import ModuleFile, Origin, file_by_path, import_root, module_file
from prodml.dsl.user_code import import_module, load_module
from prodml.errors import UserCodeError


def reference(cls: type) -> str:
    """Returns the reference by which `load` finds the class."""
    module = cls.__module__
    if module.partition(".")[0] == "prodml":
        return f"{module}:{cls.__qualname__}"
    file = os.path.abspath(inspect.getfile(getattr(cls, "function", cls)))
    root = import_root(module, file)
    if module == "__main__" or module.startswith(BY_PATH) or root is None:
        return f"{os.path.realpath(file)}:{cls.__qualname__}"
    found = module_file(module, root)
    if found is not None and found.origin is not Origin.USER:
        return f"{module}:{cls.__qualname__}"
    return f"{root}//{module}:{cls.__qualname__}"


def load(name: str) -> Any:
    """Loads the class that a reference names.

    Raises:
        UserCodeError: its file or module does not exist or cannot be imported, or does not define
            the class.
    """
    attribute = name.rpartition(":")[2]
    path = _path(name)
    module = load_module(path) if path is not None else _imported(source_file(name))
    try:
        return operator.attrgetter(attribute)(module)
    except AttributeError:
        raise UserCodeError(f"{name}: {attribute!r} no longer exists") from None


def neighbour(name: str, file: str) -> ModuleType | None:
    """Imports another file beside the one that defines the class; None if absent.

    Args:
        name: a reference.
        file: the file's name without `.py`, such as "executor".
    """
    found = neighbour_file(name, file)
    if found is None:
        return None
    # Without a package, module names such as `executor` are ambiguous, so the path is used.
    return _imported(found) if "." in found.name else load_module(found.path)


def source_file(name: str) -> ModuleFile:
    """Finds the file that defines the class, without importing it.

    Raises:
        UserCodeError: the file or module does not exist.
    """
    path = _path(name)
    if path is not None:
        if not os.path.isfile(path):
            raise UserCodeError(f"{name}: there is no file {path}")
        return file_by_path(path)
    root, _, module = name.rpartition(":")[0].rpartition("//")
    found = module_file(module, root or None)
    if found is None:
        raise UserCodeError(f"{name}: there is no module {module!r}")
    return found


def neighbour_file(name: str, file: str) -> ModuleFile | None:
    """Finds another file beside the one that defines the class, without importing; None if absent.

    Raises:
        UserCodeError: the class's own file or module does not exist.
    """
    own = source_file(name)
    if own.package:
        return module_file(f"{own.package}.{file}", own.root)
    path = os.path.join(os.path.dirname(own.path), f"{file}.py")
    return file_by_path(path) if os.path.isfile(path) else None


def file_of_function(dotted: str) -> ModuleFile:
    """Finds the file that defines `package.module.function`, without importing it.

    Raises:
        ValueError: the module does not exist; the message shows the expected form.
    """
    module, _, function = dotted.rpartition(".")
    found = module_file(module) if module and function else None
    if found is None:
        raise ValueError(
            f"{dotted!r}: no module {module!r} can be imported; write package.module.function"
        )
    return found


def is_path(name: str) -> bool:
    """Returns whether a reference names a file that is loaded by its path."""
    where = name.rpartition(":")[0]
    return where.endswith(".py") and "//" not in where


def load_by_import_path(dotted: str) -> Callable[..., Any]:
    """Imports the function that `package.module.function` names.

    Raises:
        ValueError: the module does not exist.
        UserCodeError: the module cannot be imported, or has no such function.
    """
    found = file_of_function(dotted)
    function = getattr(_imported(found), dotted.rpartition(".")[2], None)
    if not callable(function):
        raise UserCodeError(f"{dotted}: module {found.name} ({found.path}) has no such function")
    return function  # type: ignore[no-any-return]


def _path(name: str) -> str | None:
    """Returns the path that a reference names; None if it names a module."""
    return name.rpartition(":")[0] if is_path(name) else None


def _imported(module: ModuleFile) -> ModuleType:
    if module.origin is Origin.USER:
        return import_module(module.name, module.root)
    try:
        return importlib.import_module(module.name)
    except ImportError as error:
        raise UserCodeError(f"module {module.name} cannot be imported: {error}") from error
