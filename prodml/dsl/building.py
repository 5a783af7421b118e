"""Which pipeline is being built: components made inside its function join it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prodml.dsl.component import Component

_open: ContextVar[list[Component] | None] = ContextVar("open_pipeline", default=None)


@contextlib.contextmanager
def collecting() -> Iterator[list[Component]]:
    """Collects, in order, the components that are made inside the block."""
    components: list[Component] = []
    token = _open.set(components)
    try:
        yield components
    finally:
        _open.reset(token)


def register(component: Component) -> None:
    """Adds a component to the open pipeline; outside of one it belongs to none."""
    components = _open.get()
    if components is not None:
        components.append(component)
