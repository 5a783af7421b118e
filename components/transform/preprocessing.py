"""Loads the user's preprocessing_fn, and reports its errors with the user's line."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from prodml.dsl.references import load_by_import_path
from prodml.dsl.user_code import load_function, user_line
from prodml.errors import (
    InputDataError,
    ProdmlError,
    UserCodeError,
    causes_and_contexts,
    storage_error,
)
from prodml.suggestions import suggest

_AUTOGRAPH_FRAME = re.compile(r'^\s*File "([^"]+)", line (\d+), in (\w+)', re.MULTILINE)
_AT_BEAM_STEP = re.compile(r" \[while running '[^']*'\]$")
_ASSERTION = re.compile(r"^(assertion failed: .*)$", re.MULTILINE)


def load_preprocessing_fn(
    module_file: str, import_path: str | None, custom_config: Mapping[str, Any] | None
) -> Callable[..., Any]:
    """Loads the user's function, as a function of the inputs only.

    Args:
        module_file: path of the file that defines the function.
        import_path: import path `package.module.function`, or None to load `module_file`.
        custom_config: bound to the function's argument `custom_config`, if it has one.

    Raises:
        UserCodeError: the module cannot be imported, lacks the function, or custom_config is set
            but the function does not accept it.
    """
    if import_path is None:
        function = load_function(module_file, "preprocessing_fn")
    else:
        function = load_by_import_path(import_path)
    if "custom_config" in inspect.signature(function).parameters:
        function = functools.partial(function, custom_config=custom_config)
    elif custom_config is not None:
        raise UserCodeError(
            f"preprocessing_fn in {module_file} does not accept the custom_config of Transform; "
            f"define it as preprocessing_fn(inputs, custom_config)"
        )
    return functools.partial(_checked, function=function, module_file=module_file)


def _checked(inputs: Any, *, function: Callable[..., Any], module_file: str) -> Any:
    """Calls the function and checks its result; TensorFlow Transform's error names no location."""
    outputs = function(inputs)
    where = f"preprocessing_fn in {module_file}"
    if not isinstance(outputs, dict) or not outputs:
        raise UserCodeError(
            f"{where} must return a dict of tensors by feature name, got "
            f"{'an empty dict' if outputs == {} else type(outputs).__name__}"
        )
    for name, value in outputs.items():
        if not isinstance(value, tf.Tensor | tf.SparseTensor | tf.RaggedTensor):
            raise UserCodeError(
                f"{where} must return tensors, but {name!r} is a {type(value).__name__}"
            )
    return outputs


@dataclass(frozen=True)
class Inputs:
    """The inputs of preprocessing_fn, to explain why a feature is missing.

    Attributes:
        features: names of the features of the schema.
        empty_columns: columns of the source that were not stored, because no row has a value.
    """

    features: Sequence[str]
    empty_columns: Sequence[str]

    def explain(self, error: BaseException) -> str:
        """Explains a missing feature and its fix; empty if the error has another cause."""
        key = error.args[0] if isinstance(error, KeyError) and error.args else None
        if not isinstance(key, str) or key in self.features:
            return ""
        if key in self.empty_columns:
            return (
                f"; the column {key!r} is empty in every row of the examples, so it was not stored "
                f"and the schema does not have it. Ingest more data, or add the feature to a "
                f"schema of your own (ImportSchemaGen), without shape and presence: it is then "
                f"missing in every row"
            )
        return f"; its inputs are the features of the schema{suggest(key, self.features)}"


@contextlib.contextmanager
def user_errors(module_file: str, inputs: Inputs) -> Iterator[None]:
    """Converts errors of TensorFlow Transform and Beam into errors that name the user's line.

    The function is traced when the Beam graph is built and again when it runs, and Beam, AutoGraph
    and Transform each wrap its errors in their own.

    Raises:
        UserCodeError: preprocessing_fn failed; the message names the line of the user's code.
        InputDataError: the graph of preprocessing_fn failed on the data.
    """
    try:
        yield
    except Exception as error:
        # Innermost first.
        causes = list(causes_and_contexts(error))[::-1]
        for cause in causes:
            if isinstance(cause, ProdmlError):
                # Without "from error", which was raised from this cause: that would be a cycle.
                raise cause  # noqa: B904
            if isinstance(cause, OSError) and (refused := storage_error(cause)) is not None:
                raise refused from error
        root = os.path.dirname(module_file)
        for cause in causes:
            line = _autograph_line(cause, root) or user_line(cause, root)
            if line is not None:
                raise UserCodeError(
                    f"preprocessing_fn failed at {line}: {type(cause).__name__}: {_text(cause)}"
                    f"{inputs.explain(cause)}"
                ) from error
        if (op_error := _op_error(causes)) is not None:
            raise InputDataError(
                f"the graph of preprocessing_fn in {module_file} failed on the data: {op_error}"
            ) from error
        raise


def _autograph_line(error: BaseException, root: str) -> str | None:
    frames = [
        (file, line, name)
        for file, line, name in _AUTOGRAPH_FRAME.findall(str(error))
        if file.startswith(os.path.realpath(root)) and "site-packages" not in file
    ]
    return "{}:{}, in {}".format(*frames[-1]) if frames else None


def _text(error: BaseException) -> str:
    text = str(error).strip()
    if text.startswith("in user code:"):
        # This is AutoGraph's traceback; its last line repeats the user's error.
        text = text.splitlines()[-1].strip().removeprefix(f"{type(error).__name__}: ")
    return _AT_BEAM_STEP.sub("", text)


def _op_error(causes: list[BaseException]) -> str | None:
    for cause in causes:
        if isinstance(cause, tf.errors.OpError):
            failed = _ASSERTION.search(str(cause))
            return failed[1] if failed else str(cause).strip()
    return None
