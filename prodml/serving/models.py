"""The models that a server serves: configured, loaded, swapped and found.

A new version is loaded and warmed before an old one is dropped, as under TF Serving's
AvailabilityPreservingPolicy. One that fails to load is reported and replaces nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tensorflow_serving.apis import model_pb2
from tensorflow_serving.config import model_server_config_pb2

from prodml.errors import ServingError
from prodml.serving.model_labels import checked_labels
from prodml.serving.server_config import checked_configs
from prodml.serving.version_directories import aspired_versions, versions_on_disk
from prodml.serving.versions import LoadedVersion, Version, VersionState

Load = Callable[[str, int, str], LoadedVersion]
"""Loads and warms a version, of a model's name, number and directory. Blocks; raises
ServingError."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadingOptions:
    """How versions are found and loaded.

    Attributes:
        threads: versions that are loaded or unloaded at once.
        max_retries: how often a failed load is tried again.
        retry_seconds: pause before each retry.
        poll_seconds: pause between looks at the base paths; 0 looks once, less never looks.
        allow_new_labels: whether a label that is new may name a version that is not available.
        allow_any_labels: whether any label may.
    """

    threads: int = 1
    max_retries: int = 5
    retry_seconds: float = 60.0
    poll_seconds: float = 1.0
    allow_new_labels: bool = False
    allow_any_labels: bool = False


@dataclass(eq=False)
class _Model:
    config: model_server_config_pb2.ModelConfig
    versions: dict[int, Version] = field(default_factory=dict)
    aspired: frozenset[int] = frozenset()
    loads: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    warned: str = ""


class Models:
    """All models of a server. Everything happens on one event loop, loading in threads.

    Args:
        load: makes a version ready to answer.
        options: how versions are found and loaded.
    """

    def __init__(self, load: Load, options: LoadingOptions) -> None:
        self._load = load
        self._options = options
        self._models: dict[str, _Model] = {}
        self._labels: Mapping[str, Mapping[str, int]] = {}
        self._pool = ThreadPoolExecutor(max(1, options.threads), thread_name_prefix="load")
        self._reloading = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._polling: asyncio.Task[None] | None = None

    def find(self, spec: model_pb2.ModelSpec) -> LoadedVersion:
        """The version that a request names by number, by label or, naming none, the latest.

        Raises:
            ServingError: there is no such version, or it is not available.
        """
        if not spec.name:
            raise ServingError("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        model = self._models.get(spec.name)
        if choice is None:
            available = self.available(spec.name)
            if not available:
                raise _not_found(f"Latest({spec.name})")
            return available[max(available)]
        number = (
            self._labelled(spec.name, spec.version_label)
            if choice == "version_label"
            else spec.version.value
        )
        version = model.versions.get(number) if model else None
        if version is None or version.loaded is None:
            raise _not_found(f"Specific({spec.name}, {number})")
        return version.loaded

    def available(self, name: str) -> dict[int, LoadedVersion]:
        """The versions of a model that answer, by number."""
        model = self._models.get(name)
        versions = model.versions.values() if model else ()
        return {v.number: v.loaded for v in versions if v.loaded is not None}

    def versions(self, name: str) -> list[Version]:
        """Every version of a model that was ever aspired, newest first."""
        model = self._models.get(name)
        return sorted(model.versions.values(), key=lambda v: -v.number) if model else []

    def names(self) -> list[str]:
        """The configured models."""
        return [name for name, model in self._models.items() if model.config.name]

    def labelled(self, spec: model_pb2.ModelSpec) -> int | None:
        """The version that a request names by number or label; None where it names none.

        Raises:
            ServingError: the label is not known.
        """
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            return self._labelled(spec.name, spec.version_label)
        return spec.version.value if choice else None

    async def configure(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Serves the models of a config instead of those before, and waits for the new ones.

        Raises:
            ServingError: the config cannot be; nothing has changed. Or a model that is new did
                not become available.
        """
        async with self._reloading:
            configs = checked_configs(config)
            self._labels = checked_labels(
                configs.values(),
                self._labels,
                lambda name: self.available(name).keys(),
                allow_new=self._options.allow_new_labels,
                allow_any=self._options.allow_any_labels,
            )
            new = {name for name in configs if name not in self.names()}
            for name in self._models.keys() - configs.keys():
                self._models[name].config = model_server_config_pb2.ModelConfig()
            for name, model_config in configs.items():
                self._models.setdefault(name, _Model(model_config)).config = model_config
            if self._options.poll_seconds >= 0:
                await self._look()
            await self._settled(new)
            failed = sorted(name for name in new if self._failures(name))
            if failed and self._polling is not None:
                raise ServingError(
                    "UNKNOWN",
                    f"Some models did not become available: {{{', '.join(failed)}}}: "
                    f"{'; '.join(str(self._failures(name)[0]) for name in failed)}",
                )

    def start_polling(self) -> None:
        """Looks at the base paths from now on, as often as the options say."""
        self._polling = asyncio.create_task(self._poll())

    async def close(self) -> None:
        """Unloads everything; calls that run are finished first."""
        if self._polling is not None:
            self._polling.cancel()
        for model in self._models.values():
            self._aspire(model, {})
        async with self._changed:
            await self._changed.wait_for(
                lambda: all(
                    version.state in (VersionState.START, VersionState.END)
                    for model in self._models.values()
                    for version in model.versions.values()
                )
            )
        self._pool.shutdown()

    async def wait_for_change(self) -> None:
        """Returns when a version has come to another state."""
        async with self._changed:
            await self._changed.wait()

    def _labelled(self, name: str, label: str) -> int:
        try:
            return self._labels[name][label]
        except KeyError:
            raise ServingError(
                "INVALID_ARGUMENT", f"Unrecognized servable version label: {label}"
            ) from None

    async def _poll(self) -> None:
        while self._options.poll_seconds > 0:
            await asyncio.sleep(self._options.poll_seconds)
            async with self._reloading:
                await self._look()

    async def _look(self) -> None:
        """Brings what is loaded closer to what stands on disk."""
        for name, model in list(self._models.items()):
            if not model.config.name:
                self._aspire(model, {})
                continue
            base_path = model.config.base_path
            try:
                on_disk = await asyncio.to_thread(versions_on_disk, base_path)
            except OSError as error:
                self._warn(model, f"Could not find base path {base_path} for model {name}: {error}")
                continue
            aspired = aspired_versions(on_disk, model.config.model_version_policy)
            self._warn(
                model,
                ""
                if aspired
                else f"No versions of model {name} found under base path {base_path}: a version is "
                f"a directory whose name is a number, such as {base_path}/1, that the model's "
                f"version policy asks for",
            )
            self._aspire(model, aspired)

    def _warn(self, model: _Model, warning: str) -> None:
        """Says a thing once, not at every look."""
        if warning and warning != model.warned:
            log.warning(warning)
        model.warned = warning

    def _aspire(self, model: _Model, aspired: Mapping[int, str]) -> None:
        before, model.aspired = model.aspired, frozenset(aspired)
        for number, path in aspired.items():
            version = model.versions.get(number)
            is_back = version is not None and number not in before
            if version is None or (is_back and version.state is VersionState.END):
                version = model.versions[number] = Version(number, path)
                model.loads[number] = asyncio.create_task(self._bring_up(model, version))
        for number in before - model.aspired:
            # A failed version that is no longer aspired is not tried again.
            if (load := model.loads.get(number)) is not None:
                load.cancel()
        self._drop_unaspired(model)

    def _drop_unaspired(self, model: _Model) -> None:
        """Unloads what is not aspired, but never the last that answers while others load."""
        available = [v for v in model.versions.values() if v.loaded is not None]
        if model.aspired and not any(v.number in model.aspired for v in available):
            return
        for version in available:
            if version.number not in model.aspired:
                self._unload(version)

    async def _bring_up(self, model: _Model, version: Version) -> None:
        name = model.config.name
        version.state = VersionState.LOADING
        loading: asyncio.Future[LoadedVersion] | None = None
        try:
            await self._tell()
            for attempt in range(self._options.max_retries + 1):
                if attempt:
                    await asyncio.sleep(max(0.0, self._options.retry_seconds))
                loading = asyncio.wrap_future(
                    self._pool.submit(self._load, name, version.number, version.path)
                )
                try:
                    # Loading in a thread goes on when this task is cancelled.
                    loaded = await asyncio.shield(loading)
                except ServingError as error:
                    version.error = error
                    log.error("Loading version %d of %s failed: %s", version.number, name, error)
                    await self._tell()
                else:
                    version.error, version.loaded = None, loaded
                    version.state = VersionState.AVAILABLE
                    log.info("Loaded version %d of %s", version.number, name)
                    break
            else:
                version.state = VersionState.END
        except asyncio.CancelledError:
            version.state = VersionState.END
            if loading is not None:
                loading.add_done_callback(self._discard)
        finally:
            model.loads.pop(version.number, None)
        # It may have been asked to go while it loaded.
        self._drop_unaspired(model)
        await self._tell()

    def _unload(self, version: Version) -> None:
        loaded, version.loaded = version.loaded, None
        assert loaded is not None
        version.state = VersionState.UNLOADING
        loop = asyncio.get_running_loop()

        def close() -> None:
            try:
                loaded.servable.close()
            finally:
                loop.call_soon_threadsafe(ended)

        def ended() -> None:
            version.state = VersionState.END
            log.info("Unloaded version %d of %s", version.number, loaded.model)
            self._telling = loop.create_task(self._tell())

        loaded.when_idle(lambda: self._submit(close))

    def _submit(self, work: Callable[[], None]) -> None:
        self._pool.submit(work)

    def _discard(self, loading: asyncio.Future[LoadedVersion]) -> None:
        """Closes what was loaded for nobody."""
        if not loading.cancelled() and loading.exception() is None:
            self._pool.submit(loading.result().servable.close)

    async def _settled(self, names: set[str]) -> None:
        """Returns when each of the models answers or has failed once; at once where it has no
        versions."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: all(
                    self.available(name)
                    or all(v.error for v in self._models[name].versions.values())
                    for name in names
                )
            )

    def _failures(self, name: str) -> list[ServingError]:
        versions = self._models[name].versions.values()
        return [] if self.available(name) else [v.error for v in versions if v.error]

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _not_found(request: str) -> ServingError:
    return ServingError("NOT_FOUND", f"Servable not found for request: {request}")
