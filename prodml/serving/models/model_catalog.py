"""The models that a server serves: applies configs, polls base paths and finds versions.

A new version is loaded and warmed up before an old one is unloaded, as under TF Serving's
AvailabilityPreservingPolicy. A version that fails to load is reported and replaces nothing. A
config is applied as a whole or rejected: its new models are loaded first, and everything else
changes last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from tensorflow_serving.apis import model_pb2
from tensorflow_serving.config import model_server_config_pb2

from prodml.errors import ServingError
from prodml.serving.configuration.server_config import checked_configs
from prodml.serving.models.model_version import LoadedVersion, Version
from prodml.serving.models.served_model import (
    LoadingOptions,
    LoadingThreads,
    LoadVersion,
    ServedModel,
)
from prodml.serving.models.version_labels import checked_labels
from prodml.serving.models.version_policy import aspired_versions
from prodml.storage.model_versions import versions_on_disk

Configs = Mapping[str, model_server_config_pb2.ModelConfig]

log = logging.getLogger(__name__)


class Models:
    """All models of a server. Use it on one event loop only; models are loaded in threads.

    Args:
        load_version: loads a version and warms it up.
        options: how versions are found and loaded.
    """

    def __init__(self, load_version: LoadVersion, options: LoadingOptions) -> None:
        self._options = options
        self._threads = LoadingThreads(load_version, options)
        # A model that is no longer configured stays here while its last versions unload, so that
        # their states are reported.
        self._models: dict[str, ServedModel] = {}
        self._configs: Configs = {}
        self._labels: Mapping[str, Mapping[str, int]] = {}
        self._is_configured = False
        self._configuring = asyncio.Lock()
        self._poll_lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._polling: asyncio.Task[None] | None = None
        self._warnings: dict[str, str] = {}

    def find(self, spec: model_pb2.ModelSpec) -> LoadedVersion:
        """Returns the version that a request names by number or label, or else the latest one.

        Raises:
            ServingError: there is no such version, or it is not available.
        """
        if not spec.name:
            raise ServingError("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        number = spec.version.value if choice == "version" else None
        if choice == "version_label":
            number = self._labelled(spec.name, spec.version_label)
        available = self.available(spec.name)
        if number is None:
            if not available:
                raise _not_found(f"Latest({spec.name})")
            return available[max(available)]
        if number not in available:
            raise _not_found(f"Specific({spec.name}, {number})")
        return available[number]

    def available(self, name: str) -> Mapping[int, LoadedVersion]:
        """Returns the available versions of a model by number."""
        model = self._models.get(name)
        return model.available if model else {}

    def versions(self, name: str) -> list[Version]:
        """Returns every version of a model that was ever wanted, newest first."""
        model = self._models.get(name)
        return model.versions if model else []

    def serves(self, name: str) -> bool:
        """Whether a model is configured."""
        return name in self._configs

    def names(self) -> list[str]:
        """Returns the names of the configured models."""
        return list(self._configs)

    async def start(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Serves the first config and waits until each model is available or has failed once.

        A model that fails is reported and retried, like a version that fails later.

        Raises:
            ServingError: the config is invalid.
        """
        async with self._configuring:
            await self._switch(*self._checked(config))
            self._is_configured = config.WhichOneof("config") is not None
            await self.until(lambda: not self._any_pending(self._configs))

    async def configure(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Replaces the config.

        New models are loaded first. Everything else changes when each new model is available or
        has no version on disk.

        Raises:
            ServingError: the config is invalid, or a new model did not become available. The
                previous config stays in effect.
        """
        async with self._configuring:
            configs, labels = self._checked(config)
            new = {name: configs[name] for name in configs if name not in self._configs}
            try:
                async with self._poll_lock:
                    self._want(await self._wanted(new))
                await self.until(lambda: not self._any_pending(new))
                self._check_available(new)
                await self._switch(configs, labels)
            except BaseException:
                self._want({name: {} for name in new.keys() & self._models.keys()})
                raise
            self._is_configured = True

    async def poll(self) -> None:
        """Lists the versions on disk, and starts to load new ones and unload removed ones."""
        async with self._poll_lock:
            self._want(await self._wanted(self._configs))

    def start_polling(self) -> None:
        """Starts to poll the base paths at the interval that the options set."""
        self._polling = asyncio.create_task(self._poll_forever())

    async def close(self) -> None:
        """Unloads every version after its running calls have finished."""
        if self._polling is not None:
            self._polling.cancel()
        self._want({name: {} for name in self._models})
        await self.until(lambda: all(model.has_ended for model in self._models.values()))
        self._threads.close()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until a condition on the versions' states is true."""
        while not condition():
            await self._changed.wait()

    def _checked(
        self, config: model_server_config_pb2.ModelServerConfig
    ) -> tuple[Configs, Mapping[str, Mapping[str, int]]]:
        if self._is_configured and config.WhichOneof("config") is None:
            # A truncated config file is empty, so an empty config does not mean "unload all".
            raise ServingError(
                "FAILED_PRECONDITION",
                "Cannot transition to requested config. It is only legal to transition from one "
                "ModelConfigList to another; to serve nothing, send `model_config_list {}`.",
            )
        configs = checked_configs(config)
        labels = checked_labels(
            configs.values(),
            self._labels,
            lambda name: self.available(name).keys(),
            allow_new=self._options.allow_new_labels,
            allow_any=self._options.allow_any_labels,
        )
        return configs, labels

    async def _switch(self, configs: Configs, labels: Mapping[str, Mapping[str, int]]) -> None:
        async with self._poll_lock:
            wanted = await self._wanted(configs)
            self._want({name: {} for name in self._models.keys() - configs.keys()})
            self._configs, self._labels = configs, labels
            self._want(wanted)
            self._notify()

    def _any_pending(self, names: Iterable[str]) -> bool:
        models = [self._models[name] for name in names if name in self._models]
        return any(model.is_pending for model in models)

    def _check_available(self, names: Iterable[str]) -> None:
        models = {name: self._models[name] for name in sorted(names) if name in self._models}
        failed = {name: model.failures[0] for name, model in models.items() if model.failures}
        if failed:
            raise ServingError(
                "UNKNOWN",
                f"Some models did not become available: {{{', '.join(failed)}}}: "
                f"{'; '.join(map(str, failed.values()))}",
            )

    def _labelled(self, name: str, label: str) -> int:
        try:
            return self._labels[name][label]
        except KeyError:
            raise ServingError(
                "INVALID_ARGUMENT", f"Unrecognized servable version label: {label}"
            ) from None

    async def _poll_forever(self) -> None:
        while self._options.poll_seconds > 0:
            await asyncio.sleep(self._options.poll_seconds)
            await self.poll()

    async def _wanted(self, configs: Configs) -> dict[str, dict[int, str]]:
        """Returns the directories of the versions that each model should serve; leaves out a model
        if its base path cannot be listed."""
        if self._options.poll_seconds < 0:
            return {}
        wanted = {}
        for name, config in configs.items():
            try:
                on_disk = await asyncio.to_thread(versions_on_disk, config.base_path)
            except OSError as error:
                self._warn(
                    name, f"Could not find base path {config.base_path} for model {name}: {error}"
                )
                continue
            wanted[name] = aspired_versions(on_disk, config.model_version_policy)
            self._warn(name, "" if wanted[name] else _no_versions(name, config.base_path))
        return wanted

    def _want(self, wanted: Mapping[str, Mapping[int, str]]) -> None:
        for name, paths in wanted.items():
            if name not in self._models:
                self._models[name] = ServedModel(name, self._threads, self._options, self._notify)
            self._models[name].want(paths)

    def _warn(self, name: str, warning: str) -> None:
        """Logs a warning about a model once, not at every poll."""
        if warning and warning != self._warnings.get(name):
            log.warning(warning)
        self._warnings[name] = warning

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _no_versions(name: str, base_path: str) -> str:
    return (
        f"No versions of model {name} found under base path {base_path}: a version is a directory "
        f"with a number as its name, such as {base_path}/1, that the model's version policy selects"
    )


def _not_found(request: str) -> ServingError:
    return ServingError("NOT_FOUND", f"Servable not found for request: {request}")
