"""Conditions: nodes that run only where an artifact made upstream says so.

    with Cond(evaluator.outputs["blessing"].future()[0].custom_property("blessed") == 1):
        Pusher(...)

Futures and predicates are TFX's. To repeat nodes over values that are known when the pipeline is
built, write a Python loop around them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from prodml.dsl.channel import Predicate

_open: ContextVar[tuple[Predicate, ...]] = ContextVar("open_conditions", default=())


@contextlib.contextmanager
def Cond(predicate: Predicate) -> Iterator[None]:
    """Components made inside the block run only where the predicate holds; blocks may nest.

    Where it does not hold they are skipped, with all that needs them, and the run is a success.
    """
    if not isinstance(predicate, Predicate):
        raise TypeError(f"Cond takes a comparison of a future value, got {predicate!r}")
    token = _open.set((*_open.get(), predicate))
    try:
        yield
    finally:
        _open.reset(token)


def open_conditions() -> tuple[Predicate, ...]:
    """The conditions around the code that is running, the outermost first."""
    return _open.get()
