"""Conditions: nodes that run only if a property of an upstream artifact has a certain value.

    with Cond(evaluator.outputs["blessing"].future()[0].custom_property("blessed") == 1):
        Pusher(...)

Futures and predicates work as in TFX. To repeat nodes over values that are known when the pipeline
is built, write a Python loop around them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from prodml.dsl.channel import Predicate

_open: ContextVar[tuple[Predicate, ...]] = ContextVar("open_conditions", default=())


@contextlib.contextmanager
def Cond(predicate: Predicate) -> Iterator[None]:
    """Runs the components created inside the block only if the predicate is true.

    Blocks may nest. If the predicate is false, the components are skipped with all nodes that
    depend on them, and the run can still succeed.

    Raises:
        TypeError: the argument is not a comparison of a future value.
    """
    if not isinstance(predicate, Predicate):
        raise TypeError(f"Cond expects a comparison of a future value, got {predicate!r}")
    token = _open.set((*_open.get(), predicate))
    try:
        yield
    finally:
        _open.reset(token)


def open_conditions() -> tuple[Predicate, ...]:
    """Returns the predicates of the enclosing `Cond` blocks, the outermost first."""
    return _open.get()
