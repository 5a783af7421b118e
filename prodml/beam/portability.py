"""Finds functions and elements that cannot be sent to a remote worker, by step.

The local runner passes functions and elements on unchanged. This check pickles and encodes them as
FnApiRunner, Flink or Dataflow would, so that a lock in a DoFn, or an element without a coder, is
found on a laptop.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from apache_beam.coders import FastPrimitivesCoder
from apache_beam.internal import pickler

from prodml.beam.barriers import coder_of
from prodml.errors import PortabilityError


def pickled_copy(function: Any) -> Any:
    """Copies a function by pickle, within this process; nothing is stored."""
    return pickler.roundtrip(function)


def sent_copy(function: Any, label: str) -> Any:
    """Copies a function as a remote worker would receive it.

    Args:
        function: a DoFn, a CombineFn, a source, or the arguments of one.
        label: label of the step that runs the function.

    Raises:
        PortabilityError: the function cannot be pickled; the message names the step and the
            innermost object that cannot be pickled.
    """
    try:
        return pickled_copy(function)
    except Exception as error:
        path, culprit = _innermost(function, type(function).__name__, pickled_copy)
        raise PortabilityError(
            f"step {label!r}: {path}, a {_name(culprit)}, cannot be pickled ({_first_line(error)});"
            " a remote runner could not send it to its workers. Create it in the DoFn's setup(),"
            " or pass the arguments that it is created from"
        ) from error


class ElementCheck:
    """Encodes and decodes the elements of a PCollection.

    Args:
        collection: the PCollection.
        label: label of the step that produces it.
    """

    def __init__(self, collection: Any, label: str) -> None:
        self._coder = coder_of(collection)
        self._label = label

    def __call__(self, element: Any) -> Any:
        """The windowed element as a remote worker would receive it.

        Raises:
            PortabilityError: the element cannot be encoded; the message names the step, the object
                and the coder.
        """
        return element.with_value(_decoded(element.value, self._coder, "element", self._label))


class AccumulatorCheck:
    """Encodes and decodes the accumulators of a CombineFn.

    Args:
        function: the CombineFn.
        label: label of the step that combines.
    """

    def __init__(self, function: Any, label: str) -> None:
        self._coder = function.get_accumulator_coder()
        self._label = label

    def __call__(self, accumulator: Any) -> Any:
        """The accumulator as a remote worker would receive it.

        Raises:
            PortabilityError: the accumulator cannot be encoded; the message names the step, the
                object and the coder.
        """
        return _decoded(accumulator, self._coder, "accumulator", self._label)


def _decoded(value: Any, coder: Any, role: str, label: str) -> Any:
    try:
        return coder.decode(coder.encode(value))
    except Exception as error:
        path, culprit = _innermost(value, role, FastPrimitivesCoder().encode)
        raise PortabilityError(
            f"step {label!r}: {path}, a {_name(culprit)}, cannot be encoded by {coder}"
            f" ({_first_line(error)}); a remote runner could not send it to the next step. Use"
            " values that can be pickled, or declare a type that has a coder"
        ) from error


def _innermost(
    value: Any, path: str, send: Callable[[Any], object], depth: int = 4
) -> tuple[str, Any]:
    """The innermost part of a value that cannot be sent, with its path."""
    if depth:
        for name, part in _parts(value):
            if not _can_be_sent(part, send):
                return _innermost(part, f"{path}{name}", send, depth - 1)
    return path, value


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    match value:
        case dict():
            yield from ((f"[{key!r}]", part) for key, part in value.items())
        case list() | tuple():
            yield from ((f"[{index}]", part) for index, part in enumerate(value))
        case _ if inspect.isfunction(value):
            variables = inspect.getclosurevars(value)
            yield from ((f".{name}", part) for name, part in variables.nonlocals.items())
        case _:
            yield from ((f".{name}", part) for name, part in getattr(value, "__dict__", {}).items())


def _can_be_sent(value: Any, send: Callable[[Any], object]) -> bool:
    try:
        send(value)
    except Exception:
        return False
    return True


def _name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
