"""After any order of configs, polls, loads and calls, the server serves the last config."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.config import model_server_config_pb2

from prodml.errors import ServingError
from prodml.serving.configuration.server_options import ServerOptions
from prodml.serving.models.model_catalog import Models
from prodml.serving.models.model_version import LoadedVersion
from prodml.serving.part_options import loading_options

PAUSE = 60.0
OPTIONS = replace(
    loading_options(ServerOptions()),
    load_threads=2,
    max_retries=10**6,
    retry_seconds=PAUSE,
    allow_any_labels=True,
)
POLICIES = ("latest { num_versions: 1 }", "latest { num_versions: 2 }", "all {}")
CHOICES = st.tuples(st.sampled_from(["/a", "/b"]), st.sampled_from(POLICIES))
CONFIGS = st.dictionaries(st.sampled_from(["m", "n"]), CHOICES)
NUMBERS = st.integers(1, 3)
STEPS = st.one_of(
    st.tuples(st.just("configure"), CONFIGS),
    st.tuples(st.just("add"), NUMBERS),
    st.tuples(st.just("remove"), NUMBERS),
    st.tuples(st.just("look"), st.none()),
    st.tuples(st.just("end a load"), st.booleans()),
    st.tuples(st.just("call"), NUMBERS),
    st.tuples(st.just("return"), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([1.0, PAUSE])),
)


class FakeClockLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock that only the test advances."""

    now = 0.0

    def time(self) -> float:
        return self.now


@dataclass(eq=False)
class Copy:
    """A loaded version, which must be unloaded once."""

    signatures: ClassVar[Mapping[str, Any]] = {}
    copies: list[Copy]
    key: tuple[str, str]
    is_open: bool = True

    def __post_init__(self) -> None:
        twins = [copy for copy in self.copies if copy.key == self.key and copy.is_open]
        assert not twins, "two copies of one version are in memory"
        self.copies.append(self)

    def run(self, feeds: Any, fetches: Any) -> list[Any]:
        return []

    def close(self) -> None:
        assert self.is_open, "it is unloaded twice"
        self.is_open = False


@dataclass
class Disk:
    """Versions under base paths, and loads that wait until the test ends them."""

    root: Path
    copies: list[Copy] = field(default_factory=list)
    waiting: list[Callable[[bool], None]] = field(default_factory=list)
    is_calm: bool = False

    def load(self, model: str, number: int, path: str) -> LoadedVersion:
        outcome, ended = [True], threading.Event()

        def end(succeeds: bool) -> None:
            outcome[0] = succeeds
            ended.set()

        self.waiting.append(end)
        while not (self.is_calm or ended.wait(0.001)):
            pass
        if not outcome[0]:
            raise ServingError("UNAVAILABLE", "not now")
        return LoadedVersion(model, number, Copy(self.copies, (model, path)), {})

    def add(self, number: int) -> None:
        for base in ("a", "b"):
            (self.root / base / str(number)).mkdir(parents=True, exist_ok=True)

    def remove(self, number: int) -> None:
        for base in ("a", "b"):
            with contextlib.suppress(FileNotFoundError):
                (self.root / base / str(number)).rmdir()

    def config(self, choices: Mapping[str, tuple[str, str]]) -> Any:
        models = "".join(
            f'config {{ name: "{name}" base_path: "{self.root}{base}" '
            f'model_platform: "tensorflow" model_version_policy {{ {policy} }} }}'
            for name, (base, policy) in choices.items()
        )
        text = f"model_config_list {{ {models} }}"
        return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())

    def expected(self, choices: Mapping[str, tuple[str, str]]) -> dict[str, set[int]]:
        found = {}
        for name, (base, policy) in choices.items():
            numbers = sorted(int(path.name) for path in (self.root / base[1:]).iterdir())
            count = 1 if "1" in policy else 2 if "2" in policy else len(numbers)
            found[name] = set(numbers[max(0, len(numbers) - count) :])
        return found


@dataclass
class History:
    """Applies the steps to a server's models."""

    disk: Disk
    models: Models
    loop: FakeClockLoop
    calls: list[LoadedVersion] = field(default_factory=list)
    reloads: list[asyncio.Task[None]] = field(default_factory=list)
    asked_last: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    async def play(self, step: str, value: Any) -> None:
        match step:
            case "configure":
                self.reloads.append(asyncio.create_task(self.configure(value)))
            case "add":
                self.disk.add(value)
            case "remove":
                self.disk.remove(value)
            case "look":
                await self.models.poll()
            case "end a load" if self.disk.waiting:
                self.disk.waiting.pop(0)(value)
            case "call" if value in self.models.available("m"):
                self.calls.append(self.models.available("m")[value])
                self.calls[-1].acquire()
            case "return" if self.calls:
                self.calls.pop(0).release()
            case "wait":
                self.loop.now += value
        await asyncio.sleep(0)

    async def configure(self, choices: Mapping[str, tuple[str, str]]) -> None:
        with contextlib.suppress(ServingError):
            await self.models.configure(self.disk.config(choices))
            self.asked_last = choices

    async def calm_down(self) -> None:
        """Every load succeeds now, every call returns, and time passes."""
        self.disk.is_calm = True
        for call in self.calls:
            call.release()
        await asyncio.gather(*self.reloads)
        await self.models.poll()
        expected = self.disk.expected(self.asked_last)

        def is_as_asked() -> bool:
            self.loop.now += PAUSE
            answering = {name: self.models.available(name).keys() for name in ("m", "n")}
            return answering == {name: expected.get(name, set()) for name in ("m", "n")}

        while not is_as_asked():
            await asyncio.to_thread(time.sleep, 0.001)  # asyncio's sleep is on the fake clock


@given(st.lists(STEPS, max_size=40))
def test_after_any_events_the_server_serves_the_last_config(steps):
    async def run(root: Path, loop: FakeClockLoop) -> None:
        disk = Disk(root)
        disk.add(1)
        models = Models(disk.load, OPTIONS)
        await models.start(disk.config({}))
        history = History(disk, models, loop)
        for step, value in steps:
            await history.play(step, value)
        await history.calm_down()
        await models.close()
        assert not [copy for copy in disk.copies if copy.is_open]

    with tempfile.TemporaryDirectory() as root, bounded(FakeClockLoop()) as loop:
        loop.run_until_complete(run(Path(root), loop))


@contextlib.contextmanager
def bounded(loop: FakeClockLoop):
    """Fails, by the real clock, a history that does not end."""
    stop = threading.Timer(10, loop.call_soon_threadsafe, [loop.stop])
    stop.start()
    try:
        yield loop
    finally:
        stop.cancel()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
