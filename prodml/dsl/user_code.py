"""Loads user modules, and turns the exceptions that user code raises into UserCodeError."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from prodml import keras_choice
from prodml.dsl.loaded_modules import BY_PATH, LOADED
from prodml.errors import ProdmlError, UserCodeError, storage_error
from prodml.suggestions import suggest


def load_module(path: str) -> ModuleType:
    """Imports a Python file; as in a script, it can import modules from its own directory.

    A file is imported once. If this file or any user module has changed since, all user modules
    are imported again. The module is in `sys.modules`, so that Beam can pickle its functions by
    name.

    Raises:
        UserCodeError: the file does not exist or cannot be imported, with the user's line; or it
            sets another Keras version than the one that the process uses.
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise UserCodeError(f"module file {path} does not exist")
    name = module_name(path)
    with LOADED.importing(str(file.parent)):
        if (loaded := sys.modules.get(name)) is not None:
            return loaded
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise UserCodeError(
                f"module file {path} is not a Python file; its name must end in .py"
            )
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            with (
                user_code(str(file.parent), f"module file {path} cannot be imported"),
                _keras_unchanged(path),
            ):
                spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(name, None)
            raise
    return module


def import_module(name: str, root: str) -> ModuleType:
    """Imports a module of user code by its dotted name, once, as `load_module` does.

    Args:
        root: the directory that the name is imported from.

    Raises:
        UserCodeError: the module cannot be imported, with the user's line; or it sets another
            Keras version than the one that the process uses.
    """
    what = f"module {name} cannot be imported"
    with LOADED.importing(root), user_code(root, what), _keras_unchanged(name):
        return importlib.import_module(name)


@contextlib.contextmanager
def _keras_unchanged(path: str) -> Iterator[None]:
    """Refuses a module that sets the environment variable of the Keras version to another one."""
    chosen, value = keras_choice.from_environment(), os.environ.get(keras_choice.VARIABLE)
    yield
    requested = keras_choice.from_environment()
    if value is None or requested == chosen:
        return
    os.environ[keras_choice.VARIABLE] = value
    if requested is not None:
        raise UserCodeError(
            f"module {path} sets {keras_choice.VARIABLE}, but tf.keras is already {chosen} in "
            f"this process; remove that line and write Trainer(keras={requested!r}), or keras: "
            f"{requested} in the configuration"
        )


def module_name(path: str) -> str:
    """Returns the name under which `load_module` adds a file to `sys.modules`."""
    file = Path(path).resolve()
    return f"{BY_PATH}{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"


def load_function(path: str, name: str) -> Callable[..., Any]:
    """Loads a function of a user module.

    Raises:
        UserCodeError: the module cannot be imported, or has no such function.
    """
    module = load_module(path)
    function = getattr(module, name, None)
    if not callable(function):
        defined = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise UserCodeError(f"module file {path} has no function {name!r}{suggest(name, defined)}")
    return function  # type: ignore[no-any-return]


@contextlib.contextmanager
def user_code(root: str, what: str) -> Iterator[None]:
    """Turns an exception that user code in the block raises into a UserCodeError.

    Args:
        root: directory that contains the user's code, used to find the user's own line.
        what: description of what failed, the start of the message.

    Raises:
        UserCodeError: with the user's line; the user's exception is its cause.
    """
    try:
        yield
    except ProdmlError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, OSError) and (refused := storage_error(error)) is not None:
            raise refused from error
        line = user_line(error, root)
        where = f" at {line}" if line else ""
        raise UserCodeError(f"{what}{where}: {describe_error(error)}") from error


def describe_error(error: BaseException) -> str:
    """Formats class and message of an exception; for SystemExit, explains what to do instead."""
    if isinstance(error, SystemExit):
        return f"sys.exit({error.code!r}) was called; raise an error, or return, instead"
    return f"{type(error).__name__}: {error}"


def user_line(error: BaseException, root: str) -> str | None:
    """Returns `file:line, in function` of the innermost frame under `root`; None if absent."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    prefix = str(Path(root).resolve())
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if frame.filename.startswith(prefix) and "site-packages" not in frame.filename:
            return f"{frame.filename}:{frame.lineno}, in {frame.name}"
    return None
