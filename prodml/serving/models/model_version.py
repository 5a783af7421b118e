"""The versions of a model inside a server, and their states."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from prodml.errors import ServingError
from prodml.serving.models.servable import Servable
from prodml.serving.values.signatures import Signature


class VersionState(enum.Enum):
    """The state of a version, with the names and numbers of GetModelStatus."""

    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


class Stage(enum.Enum):
    """The state of a version inside the server; `reconciler.py` draws the transitions.

    Each value is the state that GetModelStatus reports and a text that makes the value unique.
    """

    LOADING = (VersionState.LOADING, "it is being loaded, or waits for a thread")
    RETRYING = (VersionState.LOADING, "its load failed and will be retried")
    AVAILABLE = (VersionState.AVAILABLE, "it answers requests")
    UNLOADING = (VersionState.UNLOADING, "no request finds it; calls or threads still use it")
    FAILED = (VersionState.END, "its last retry failed")
    END = (VersionState.END, "it is unloaded")


@dataclass(eq=False)
class LoadedVersion:
    """A version that answers requests. Use it on the event loop only, except `servable`.

    Attributes:
        model: name of the model.
        number: number of the version.
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
        """Keeps the version loaded until `release` is called."""
        self._calls += 1

    def release(self) -> None:
        self._calls -= 1
        self._notify_if_idle()

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Calls `callback` once, as soon as no call is running. No `acquire` may follow."""
        self._when_idle = callback
        self._notify_if_idle()

    def _notify_if_idle(self) -> None:
        if self._calls == 0 and self._when_idle is not None:
            callback, self._when_idle = self._when_idle, None
            callback()


@dataclass(eq=False)
class Version:
    """A version that the server was asked to serve, in any state.

    Attributes:
        number: number of the version.
        path: its directory.
        stage: its state inside the server.
        error: why its last load failed; None once a load has succeeded.
        loaded: the loaded version, if it is available.
        failures: number of failed loads since the version was wanted.
        retry_at: when the next load starts, if the version is RETRYING.
    """

    number: int
    path: str
    stage: Stage = Stage.LOADING
    error: ServingError | None = None
    loaded: LoadedVersion | None = None
    failures: int = 0
    retry_at: float = 0.0

    @property
    def state(self) -> VersionState:
        """The state that GetModelStatus reports."""
        return self.stage.value[0]
