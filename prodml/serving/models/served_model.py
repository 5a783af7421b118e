"""One model's versions on an event loop: performs the reconciler's actions in threads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from prodml.errors import ServingError
from prodml.serving.models.model_version import LoadedVersion, Stage, Version
from prodml.serving.models.reconciler import Action, Load, Reconciler

LoadVersion = Callable[[str, int, str], LoadedVersion]
"""Loads a version and warms it up, by the model's name, the version's number and its directory.
Blocks; raises ServingError."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadingOptions:
    """How versions are found and loaded.

    Attributes:
        load_threads: maximum number of concurrent loads.
        unload_threads: maximum number of concurrent unloads.
        max_retries: how often a failed load is retried.
        retry_seconds: pause before each retry.
        poll_seconds: pause between polls of the base paths; 0 polls once, a negative number never.
        allow_new_labels: whether a new label may name a version that is not available.
        allow_any_labels: whether any label may name a version that is not available.
    """

    load_threads: int
    unload_threads: int
    max_retries: int
    retry_seconds: float
    poll_seconds: float
    allow_new_labels: bool
    allow_any_labels: bool


class LoadingThreads:
    """Loads and unloads the versions of all models. An unload never waits for a load."""

    def __init__(self, load_version: LoadVersion, options: LoadingOptions) -> None:
        self._load_version = load_version
        self._loads = ThreadPoolExecutor(options.load_threads, thread_name_prefix="load")
        self._unloads = ThreadPoolExecutor(options.unload_threads, thread_name_prefix="unload")

    def load(self, model: str, version: Version) -> asyncio.Future[LoadedVersion]:
        """Loads a version when a thread is free, unless it is no longer wanted by then."""

        def load() -> LoadedVersion:
            if version.stage is not Stage.LOADING:
                raise ServingError("CANCELLED", f"version {version.number} is no longer wanted")
            return self._load_version(model, version.number, version.path)

        return asyncio.get_running_loop().run_in_executor(self._loads, load)

    def unload(self, loaded: LoadedVersion) -> asyncio.Future[None]:
        """Frees a version's resources."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._unloads, loaded.servable.close)

    def close(self) -> None:
        """Waits for the threads."""
        self._loads.shutdown()
        self._unloads.shutdown()


class ServedModel:
    """Loads and unloads the versions of one model so that the wanted ones are available.

    Args:
        name: name of the model.
        threads: loads and unloads the versions.
        options: how often and when loads are retried.
        changed: called after every change of a version's state.

    Attributes:
        available: the available versions by number.
    """

    def __init__(
        self,
        name: str,
        threads: LoadingThreads,
        options: LoadingOptions,
        changed: Callable[[], None],
    ) -> None:
        self._name = name
        self._threads = threads
        self._changed = changed
        self._reconciler = Reconciler(options.max_retries, options.retry_seconds)
        self._retry: asyncio.TimerHandle | None = None
        # A cache: every request reads it, and the list of ended versions only grows.
        self.available: Mapping[int, LoadedVersion] = {}

    @property
    def versions(self) -> list[Version]:
        """Every version that was ever wanted, newest first."""
        return self._reconciler.versions

    @property
    def failures(self) -> list[ServingError]:
        """The errors of the wanted versions; empty if one is available or in its first load."""
        return [] if self.available else self._reconciler.failures

    @property
    def is_pending(self) -> bool:
        """Whether no version is available, and one is being loaded for the first time."""
        return bool(self._reconciler.wanted) and not self.available and not self.failures

    @property
    def has_ended(self) -> bool:
        """Whether no version is loaded, being loaded or being unloaded."""
        return self._reconciler.has_ended

    def want(self, paths: Mapping[int, str]) -> None:
        """Loads these versions, then unloads all others.

        Args:
            paths: the directories of the wanted versions by number.
        """
        if paths != self._reconciler.wanted:
            self._perform(self._reconciler.want(paths))

    def _perform(self, actions: list[Action]) -> None:
        self.available = self._reconciler.available
        for action in actions:
            if isinstance(action, Load):
                self._load(action.version)
            else:
                self._unload(action.version, action.loaded)
        self._schedule_retry()
        self._changed()

    def _load(self, version: Version) -> None:
        def finish(loading: asyncio.Future[LoadedVersion]) -> None:
            if (error := loading.exception()) is None:
                log.info("Loaded version %d of %s", version.number, self._name)
                self._perform(self._reconciler.load_succeeded(version, loading.result()))
                return
            reason = _serving_error(error)
            if version.stage is Stage.LOADING:
                log.error("Loading version %d of %s failed: %s", version.number, self._name, reason)
            now = asyncio.get_running_loop().time()
            self._perform(self._reconciler.load_failed(version, reason, now))

        self._threads.load(self._name, version).add_done_callback(finish)

    def _unload(self, version: Version, loaded: LoadedVersion) -> None:
        def finish(unloading: asyncio.Future[None]) -> None:
            if (error := unloading.exception()) is not None:
                log.error(
                    "Unloading version %d of %s failed: %s", version.number, self._name, error
                )
            else:
                log.info("Unloaded version %d of %s", version.number, self._name)
            self._perform(self._reconciler.unloaded(version))

        loaded.when_idle(lambda: self._threads.unload(loaded).add_done_callback(finish))

    def _schedule_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if (due := self._reconciler.next_retry) is not None:
            self._retry = asyncio.get_running_loop().call_at(due, self._begin_retries, due)

    def _begin_retries(self, due: float) -> None:
        self._perform(self._reconciler.retry(due))


def _serving_error(error: BaseException) -> ServingError:
    """Returns the error without its traceback, whose frames would keep the model in memory."""
    if isinstance(error, ServingError):
        return ServingError(error.code, str(error))
    return ServingError("INTERNAL", f"{type(error).__name__}: {error}")
