"""Classes by name: `module:Class`, or `path/to/file.py:Class` for a user's own script."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from prodml.dsl.user_code import load_module, module_name
from prodml.errors import UserCodeError


def reference(cls: type) -> str:
    """The name by which `load` finds the class again."""
    if "." in cls.__module__:
        return f"{cls.__module__}:{cls.__qualname__}"
    return f"{inspect.getfile(getattr(cls, 'function', cls))}:{cls.__qualname__}"


def load(name: str) -> Any:
    """The class that `reference` named.

    Raises:
        UserCodeError: its file or module is gone or does not import, or the class is not in it.
    """
    module, attribute = _module(name)
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise UserCodeError(f"{name}: there is no {attribute!r} any more") from None


def neighbour(name: str, file: str) -> ModuleType | None:
    """The module in another file beside the one that holds the class, or None.

    Args:
        name: a reference.
        file: the file's name without `.py`, such as "executor".
    """
    where, _, _ = name.rpartition(":")
    if where.endswith(".py"):
        path = Path(where).with_name(f"{file}.py")
        return load_module(str(path)) if path.is_file() else None
    package, _, _ = where.rpartition(".")
    if importlib.util.find_spec(f"{package}.{file}") is None:
        return None
    return importlib.import_module(f"{package}.{file}")


def source_file(name: str) -> str:
    """The file that holds the class, found without importing it."""
    where, _, _ = name.rpartition(":")
    if where.endswith(".py"):
        return where
    spec = importlib.util.find_spec(where)
    if spec is None or spec.origin is None:
        raise UserCodeError(f"{name}: there is no module {where!r}")
    return spec.origin


def file_of_function(dotted: str) -> str:
    """The file that holds `package.module.function`, found without importing it.

    Raises:
        ValueError: there is no such module; says how to write it.
    """
    module, _, function = dotted.rpartition(".")
    try:
        found = importlib.util.find_spec(module) if module and function else None
    except ImportError:
        found = None
    if found is None or found.origin is None or not found.has_location:
        raise ValueError(
            f"{dotted!r}: no module {module!r} can be imported; write package.module.function"
        )
    return found.origin


def _module(name: str) -> tuple[ModuleType, str]:
    where, _, attribute = name.rpartition(":")
    if not where.endswith(".py"):
        try:
            return importlib.import_module(where), attribute
        except ImportError as error:
            raise UserCodeError(f"{name}: {error}") from error
    loaded = sys.modules.get(module_name(where))
    return loaded or load_module(where), attribute
