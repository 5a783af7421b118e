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
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from prodml.artifacts import PropertyValue

if TYPE_CHECKING:
    from prodml.dsl.channel import OutputChannel


class Comparison(StrEnum):
    """How a value is compared."""

    EQ = "=="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


Place = Literal["property", "custom_property", "uri"]


@dataclass(frozen=True)
class Predicate:
    """A comparison of a value that an artifact will have with one that is known.

    Attributes:
        channel: whose artifact.
        index: which of its artifacts.
        place: where in the artifact; `name` is the property's, and empty for `uri`.
    """

    channel: OutputChannel
    index: int
    place: Place
    name: str
    comparison: Comparison
    value: PropertyValue


@dataclass(frozen=True, eq=False)
class FutureValue:
    """A value that an artifact will have; compared, it makes a Predicate."""

    channel: OutputChannel
    index: int
    place: Place
    name: str = ""

    def __eq__(self, value: object) -> Predicate:  # type: ignore[override]  # as in TFX
        return self._compared(Comparison.EQ, value)

    def __ne__(self, value: object) -> Predicate:  # type: ignore[override]  # as in TFX
        return self._compared(Comparison.NE, value)

    def __lt__(self, value: PropertyValue) -> Predicate:
        return self._compared(Comparison.LT, value)

    def __le__(self, value: PropertyValue) -> Predicate:
        return self._compared(Comparison.LE, value)

    def __gt__(self, value: PropertyValue) -> Predicate:
        return self._compared(Comparison.GT, value)

    def __ge__(self, value: PropertyValue) -> Predicate:
        return self._compared(Comparison.GE, value)

    def _compared(self, comparison: Comparison, value: object) -> Predicate:
        if not isinstance(value, int | float | str):
            raise TypeError(f"a condition compares with a number or a string, got {value!r}")
        return Predicate(self.channel, self.index, self.place, self.name, comparison, value)


@dataclass(frozen=True)
class FutureArtifact:
    """An artifact that will be."""

    channel: OutputChannel
    index: int

    @property
    def uri(self) -> FutureValue:
        """Where it will stand."""
        return FutureValue(self.channel, self.index, "uri")

    def property(self, name: str) -> FutureValue:
        """A property that its type declares."""
        return FutureValue(self.channel, self.index, "property", name)

    def custom_property(self, name: str) -> FutureValue:
        """Any other property."""
        return FutureValue(self.channel, self.index, "custom_property", name)


@dataclass(frozen=True)
class FutureArtifacts:
    """The artifacts that a channel will carry."""

    channel: OutputChannel

    def __getitem__(self, index: int) -> FutureArtifact:
        return FutureArtifact(self.channel, index)


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
