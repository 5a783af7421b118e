"""Versions of a model as a server has them."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from prodml.errors import ServingError
from prodml.serving.models.servable import Servable
from prodml.serving.values.signatures import Signature


class VersionState(enum.Enum):
    """The state of a version, by the names and numbers of GetModelStatus."""

    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


class Stage(enum.Enum):
    """The state of a version inside the server; `Reconciler` has the transitions.

    Each value is what GetModelStatus reports and a text, because values must differ.
    """

    LOADING = (VersionState.LOADING, "a thread loads it, or will")
    RETRYING = (VersionState.LOADING, "its load failed and will be retried")
    AVAILABLE = (VersionState.AVAILABLE, "it answers requests")
    UNLOADING = (VersionState.UNLOADING, "it is not found any more; calls or threads still use it")
    FAILED = (VersionState.END, "its last retry failed")
    END = (VersionState.END, "it is unloaded")


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
    """A version that the server knows, from when it was first asked for.

    Attributes:
        number: the version.
        path: its directory.
        stage: its state inside the server.
        error: why its last load failed; None once a load has succeeded.
        loaded: what answers requests, while it is available.
        failures: loads that failed since it was asked for.
        retry_at: when the next load begins, while it is RETRYING.
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
        """Its state as GetModelStatus reports it."""
        return self.stage.value[0]
