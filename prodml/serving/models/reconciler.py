"""Decides what to load and unload to get from a model's current versions to the wanted ones.

A state machine without clock, threads or event loop:

     wanted          loaded               not wanted, and          its calls
       |               |                  a successor answers      returned
       v               v                  or nothing is wanted        |
    LOADING -----> AVAILABLE -------------------------------> UNLOADING -----> END
     |  ^  |                                                     ^              ^
     |  |  +----------------- not wanted ------------------------+              |
     |  |                                                                       |
     | pause over                                                               |
     v  |                                                                       |
    RETRYING ------------------ not wanted -------------------------------------+
     |                                                                          |
     | no retry left                                                            |
     v                                                                          |
    FAILED -------------------- not wanted -------------------------------------+

    END --wanted again--> LOADING

A version may be unloaded if it is no longer wanted and a wanted version answers in its place. A
version that is wanted again while it unloads is loaded again after its unload has ended: its files
may have changed, so the copy that still runs is not reused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from prodml.errors import ServingError
from prodml.serving.models.model_version import LoadedVersion, Stage, Version


@dataclass(frozen=True)
class Load:
    """Load this version, then call `load_succeeded` or `load_failed`."""

    version: Version


@dataclass(frozen=True)
class Unload:
    """Unload this version when its calls have returned, then call `unloaded`."""

    version: Version
    loaded: LoadedVersion


Action: TypeAlias = Load | Unload


class Reconciler:
    """The versions of one model.

    Every method returns the actions that the caller must start now. A version has at most one
    action in progress.

    Args:
        max_retries: how often a failed load is retried.
        retry_seconds: pause before each retry.
    """

    def __init__(self, max_retries: int, retry_seconds: float) -> None:
        self._max_retries = max_retries
        self._retry_seconds = max(0.0, retry_seconds)
        self._wanted: dict[int, str] = {}
        # Keyed by number and directory: a version in another directory is another version, which
        # replaces the first one when it is available.
        self._versions: dict[tuple[int, str], Version] = {}

    @property
    def versions(self) -> list[Version]:
        """Every version that was ever wanted, one per number, newest first."""
        by_number: dict[int, Version] = {}
        for version in sorted(self._versions.values(), key=_precedence):
            by_number[version.number] = version
        return [by_number[number] for number in sorted(by_number, reverse=True)]

    @property
    def available(self) -> dict[int, LoadedVersion]:
        """The available versions by number."""
        versions = self._versions.values()
        return {v.number: v.loaded for v in versions if v.loaded is not None}

    @property
    def wanted(self) -> Mapping[int, str]:
        """The directories of the wanted versions by number."""
        return self._wanted

    @property
    def failures(self) -> list[ServingError]:
        """The errors of the wanted versions if all of them have failed so far, or else empty."""
        wanted = [self._versions.get(key) for key in self._wanted.items()]
        errors = [version.error for version in wanted if version is not None and version.error]
        return errors if len(errors) == len(wanted) else []

    @property
    def has_ended(self) -> bool:
        """Whether every version has ended."""
        return all(version.stage is Stage.END for version in self._versions.values())

    @property
    def next_retry(self) -> float | None:
        """When `retry` should be called next; None if no load waits for a retry."""
        versions = self._versions.values()
        return min((v.retry_at for v in versions if v.stage is Stage.RETRYING), default=None)

    def want(self, paths: Mapping[int, str]) -> list[Action]:
        """Replaces the wanted versions.

        Args:
            paths: the directories of the wanted versions by number.
        """
        self._wanted = dict(paths)
        return self._reconcile()

    def load_succeeded(self, version: Version, loaded: LoadedVersion) -> list[Action]:
        """Records that a version was loaded."""
        if version.stage is Stage.UNLOADING:
            return [Unload(version, loaded)]
        version.stage, version.loaded = Stage.AVAILABLE, loaded
        version.error, version.failures = None, 0
        return self._reconcile()

    def load_failed(self, version: Version, error: ServingError, now: float) -> list[Action]:
        """Records that a version could not be loaded.

        Args:
            version: the version.
            error: why the load failed.
            now: the current time, in seconds on the clock that `retry` uses.
        """
        if version.stage is Stage.UNLOADING:
            return self.unloaded(version)
        version.error = error
        version.failures += 1
        if version.failures > self._max_retries:
            version.stage = Stage.FAILED
        else:
            version.stage, version.retry_at = Stage.RETRYING, now + self._retry_seconds
        return self._reconcile()

    def unloaded(self, version: Version) -> list[Action]:
        """Records that a version has ended: no call and no thread uses it."""
        version.stage = Stage.END
        return self._reconcile()

    def retry(self, now: float) -> list[Action]:
        """Retries the loads whose pause is over."""
        due = [
            version
            for version in self._versions.values()
            if version.stage is Stage.RETRYING and version.retry_at <= now
        ]
        for version in due:
            version.stage = Stage.LOADING
        return [Load(version) for version in due]

    def _reconcile(self) -> list[Action]:
        # The newest version first, because requests without a version get it.
        newest_first = sorted(self._wanted.items(), reverse=True)
        missing = [key for key in newest_first if self._needs_load(key)]
        actions: list[Action] = [self._begin_load(*key) for key in missing]
        for version in list(self._versions.values()):
            if self._wanted.get(version.number) != version.path:
                actions += self._retire(version)
        return actions

    def _needs_load(self, key: tuple[int, str]) -> bool:
        version = self._versions.get(key)
        return version is None or version.stage is Stage.END

    def _begin_load(self, number: int, path: str) -> Load:
        for key, version in list(self._versions.items()):
            if version.number == number and version.stage is Stage.END:
                del self._versions[key]
        version = self._versions[number, path] = Version(number, path)
        return Load(version)

    def _retire(self, version: Version) -> list[Action]:
        """Moves a version that is no longer wanted one stage towards END, if it may move."""
        match version.stage:
            case Stage.RETRYING | Stage.FAILED:
                version.stage = Stage.END
            case Stage.LOADING:
                version.stage, version.error = Stage.UNLOADING, None
            case Stage.AVAILABLE if self._may_unload(version):
                loaded, version.loaded = version.loaded, None
                assert loaded is not None
                version.stage = Stage.UNLOADING
                return [Unload(version, loaded)]
        return []

    def _may_unload(self, version: Version) -> bool:
        answering = {
            number
            for number, path in self._wanted.items()
            if (wanted := self._versions.get((number, path))) and wanted.loaded is not None
        }
        if not self._wanted:
            return True
        return bool(answering) and (
            version.number not in self._wanted or version.number in answering
        )


def _precedence(version: Version) -> int:
    """Orders versions with one number: an available version ranks above one that loads, and that
    above one that has ended."""
    order = (Stage.END, Stage.UNLOADING, Stage.FAILED, Stage.RETRYING, Stage.LOADING)
    return order.index(version.stage) if version.stage in order else len(order)
