"""Versions of a model as a server has them."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from prodml.errors import ServingError
from prodml.serving.servable import Servable
from prodml.serving.signatures import Signature


class VersionState(enum.Enum):
    """Where a version stands; the names and numbers are those of GetModelStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(eq=False)
class LoadedVersion:
    """A version that answers requests. Used on the event loop alone, `servable` aside.

    Attributes:
        model: name of the model.
        number: the version.
        servable: the loaded model.
        signatures: its signatures by key.
    """

    model: str
    number: int
    servable: Servable
    signatures: Mapping[str, Signature]
    _calls: int = 0
    _when_idle: Callable[[], None] | None = field(default=None, repr=False)

    def acquire(self) -> None:
        """Keeps the version loaded until `release`."""
        self._calls += 1

    def release(self) -> None:
        self._calls -= 1
        self._tell_if_idle()

    def when_idle(self, tell: Callable[[], None]) -> None:
        """Calls `tell` once, as soon as no call is running; no call may follow."""
        self._when_idle = tell
        self._tell_if_idle()

    def _tell_if_idle(self) -> None:
        if self._calls == 0 and self._when_idle is not None:
            tell, self._when_idle = self._when_idle, None
            tell()


@dataclass(eq=False)
class Version:
    """A version that the server knows, from when it was first aspired.

    Attributes:
        number: the version.
        path: its directory.
        state: where it stands.
        error: why it ended, where it failed.
        loaded: what answers requests, while it is available.
    """

    number: int
    path: str
    state: VersionState = VersionState.START
    error: ServingError | None = None
    loaded: LoadedVersion | None = None
