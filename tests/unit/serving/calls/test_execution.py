from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from prodml.serving.calls.execution import DirectRunner
from prodml.serving.models.model_version import LoadedVersion


class Gated:
    """Returns its input when the gate is open; records the inputs it ran with."""

    signatures: ClassVar[Mapping[str, object]] = {}

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.began = threading.Event()
        self.ran: list[float] = []

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
        self.began.set()
        assert self.gate.wait(10)
        self.ran.append(float(feeds["x"][0]))
        return [feeds["x"]]

    def close(self) -> None:
        pass


def test_calls_of_disconnected_clients_never_run():
    servable = Gated()
    idle: list[bool] = []

    async def send() -> None:
        runner = DirectRunner(1)
        version = LoadedVersion("m", 1, servable, {})
        calls = [
            asyncio.ensure_future(runner.run(version, {"x": np.full(1, number)}, ["y"]))
            for number in range(4)
        ]
        await asyncio.to_thread(servable.began.wait, 10)
        for call in calls[1:3]:
            call.cancel()
        await asyncio.wait(calls[1:3])
        servable.gate.set()
        await asyncio.gather(calls[0], calls[3])
        version.when_idle(lambda: idle.append(True))
        runner.close()

    asyncio.run(send())
    assert servable.ran == [0, 3]
    assert idle, "a version without running calls can be unloaded"


def test_a_running_call_of_a_disconnected_client_keeps_its_version_loaded():
    servable = Gated()
    idle: list[int] = []

    async def send() -> None:
        runner = DirectRunner(1)
        version = LoadedVersion("m", 1, servable, {})
        call = asyncio.ensure_future(runner.run(version, {"x": np.ones(1)}, ["y"]))
        await asyncio.to_thread(servable.began.wait, 10)
        call.cancel()
        await asyncio.wait([call])
        has_ended = asyncio.Event()
        version.when_idle(lambda: (idle.append(len(servable.ran)), has_ended.set()))
        servable.gate.set()
        await asyncio.wait_for(has_ended.wait(), 10)
        runner.close()

    asyncio.run(send())
    assert idle == [1]
