from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodml.errors import ConfigError, ServingError
from prodml.serving.calls.batching import BatchingRunner
from prodml.serving.configuration.batching_parameters import BatchingOptions, read_batching_options
from prodml.serving.models.model_version import LoadedVersion
from prodml.serving.observation.metrics import ServerMetrics


class Doubler:
    """Doubles its input; records the batch sizes; rejects negative values; can be made to wait."""

    signatures: ClassVar[Mapping[str, object]] = {}

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.sizes: list[int] = []
        self.gate = gate

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
        if self.gate is not None:
            self.gate.wait(10)
        (value,) = feeds.values()
        self.sizes.append(len(value))
        if (value < 0).any():
            raise ServingError("INVALID_ARGUMENT", "negative")
        return [value * 2]

    def close(self) -> None:
        pass


def runs(options: BatchingOptions, servable: Doubler, inputs: list[np.ndarray]) -> list[object]:
    """Sends requests together and returns their answers or errors."""

    async def send() -> list[object]:
        runner = BatchingRunner(options, ServerMetrics())
        version = LoadedVersion("m", 1, servable, {})
        answers = await asyncio.gather(
            *(runner.run(version, {"x": value}, ["y"]) for value in inputs), return_exceptions=True
        )
        idle = []
        version.when_idle(lambda: idle.append(True))
        assert idle, "a version without running calls can be unloaded"
        runner.close()
        return answers

    return asyncio.run(send())


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 8), min_size=1, max_size=30),
    max_batch_size=st.integers(8, 20),
    threads=st.integers(1, 3),
    splitting=st.booleans(),
)
def test_every_request_gets_its_own_rows(sizes, max_batch_size, threads, splitting):
    options = BatchingOptions(
        max_batch_size=max_batch_size,
        num_batch_threads=threads,
        max_enqueued_batches=100,
        enable_large_batch_splitting=splitting,
        max_execution_batch_size=4 if splitting else max_batch_size,
    )
    starts = np.cumsum([0, *sizes])
    inputs = [np.arange(a, a + n, dtype=np.int64) for a, n in zip(starts, sizes, strict=False)]
    servable = Doubler()
    for value, answer in zip(inputs, runs(options, servable, inputs), strict=True):
        np.testing.assert_array_equal(answer, [value * 2])
    assert max(servable.sizes) <= options.run_size


def test_requests_that_arrive_together_run_together():
    servable = Doubler()
    options = BatchingOptions(max_batch_size=8, batch_timeout_micros=100_000, num_batch_threads=1)
    runs(options, servable, [np.ones(2)] * 4)
    assert servable.sizes == [8]


def test_requests_in_quick_succession_run_together_without_a_batch_timeout():
    servable = Doubler()
    options = BatchingOptions(max_batch_size=8, batch_timeout_micros=0, num_batch_threads=4)

    async def send() -> None:
        runner = BatchingRunner(options, ServerMetrics())
        version = LoadedVersion("m", 1, servable, {})
        calls = []
        for _ in range(4):
            calls.append(asyncio.ensure_future(runner.run(version, {"x": np.ones(1)}, ["y"])))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.gather(*calls)
        runner.close()

    asyncio.run(send())
    assert servable.sizes == [4]


def test_a_batch_is_padded_to_an_allowed_size():
    servable = Doubler()
    options = BatchingOptions(max_batch_size=8, num_batch_threads=1, allowed_batch_sizes=(4, 8))
    (answer,) = runs(options, servable, [np.array([1.0, 2.0, 3.0])])
    assert servable.sizes == [4]
    assert answer[0].tolist() == [2.0, 4.0, 6.0]


def test_a_bad_request_fails_alone():
    options = BatchingOptions(max_batch_size=8, batch_timeout_micros=100_000, num_batch_threads=1)
    good, bad, other = runs(
        options, Doubler(), [np.array([1.0, 2.0]), np.array([-1.0]), np.array([3.0] * 5)]
    )
    assert good[0].tolist() == [2.0, 4.0]
    assert isinstance(bad, ServingError) and bad.code == "INVALID_ARGUMENT"
    assert other[0].tolist() == [6.0] * 5


def test_rows_of_different_shapes_run_apart_unless_they_may_be_padded():
    inputs = [np.ones((1, 2)), np.ones((1, 3))]
    apart = Doubler()
    runs(BatchingOptions(max_batch_size=2, num_batch_threads=1), apart, inputs)
    assert apart.sizes == [1, 1]
    together = Doubler()
    options = BatchingOptions(
        max_batch_size=2, batch_timeout_micros=100_000, pad_variable_length_inputs=True
    )
    first, second = runs(options, together, inputs)
    assert together.sizes == [2]
    assert first[0].tolist() == [[2.0, 2.0, 0.0]]
    assert second[0].tolist() == [[2.0, 2.0, 2.0]]


def test_a_full_queue_answers_resource_exhausted():
    gate = threading.Event()
    options = BatchingOptions(max_batch_size=1, num_batch_threads=1, max_enqueued_batches=2)

    async def send() -> list[object]:
        runner = BatchingRunner(options, ServerMetrics())
        version = LoadedVersion("m", 1, Doubler(gate), {})
        sent = [
            asyncio.ensure_future(runner.run(version, {"x": np.ones(1)}, ["y"])) for _ in range(4)
        ]
        await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
        gate.set()
        return await asyncio.gather(*sent, return_exceptions=True)

    answers = asyncio.run(send())
    refused = [answer for answer in answers if isinstance(answer, ServingError)]
    assert [error.code for error in refused] == ["RESOURCE_EXHAUSTED"]
    assert "queue to which this task was submitted is full" in str(refused[0])


@pytest.mark.parametrize("newcomer", [("m", 1, 3), ("m", 2, 2), ("n", 1, 2)])
def test_an_endless_backlog_does_not_starve_another_shape_version_or_model(newcomer):
    options = BatchingOptions(max_batch_size=1, num_batch_threads=1, max_enqueued_batches=8)
    served = 0

    async def send() -> int:
        runner = BatchingRunner(options, ServerMetrics())
        busy = LoadedVersion("m", 1, Doubler(), {})
        model, number, width = newcomer
        other = busy if (model, number) == ("m", 1) else LoadedVersion(model, number, Doubler(), {})
        is_over = False

        async def client() -> None:
            nonlocal served
            while not is_over and served < 500:
                await runner.run(busy, {"x": np.ones((1, 2))}, ["y"])
                served += 1

        backlog = [asyncio.create_task(client()) for _ in range(6)]
        await asyncio.sleep(0)
        await runner.run(other, {"x": np.ones((1, width))}, ["y"])
        before = served
        is_over = True
        await asyncio.gather(*backlog)
        runner.close()
        return before

    assert asyncio.run(send()) < 10


def test_a_call_of_a_disconnected_client_never_runs_and_leaves_the_queue():
    gate = threading.Event()
    options = BatchingOptions(max_batch_size=1, num_batch_threads=1, max_enqueued_batches=2)
    servable = Doubler(gate)

    async def send() -> None:
        runner = BatchingRunner(options, ServerMetrics())
        version = LoadedVersion("m", 1, servable, {})
        running, *gone = [
            asyncio.ensure_future(runner.run(version, {"x": np.ones(1)}, ["y"])) for _ in range(3)
        ]
        await asyncio.sleep(0)
        for call in gone:
            call.cancel()
        await asyncio.wait(gone)
        stays = [
            asyncio.ensure_future(runner.run(version, {"x": np.zeros(1)}, ["y"])) for _ in range(2)
        ]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(running, *stays)
        idle: list[bool] = []
        version.when_idle(lambda: idle.append(True))
        assert idle
        runner.close()

    asyncio.run(send())
    assert servable.sizes == [1, 1, 1]


def test_a_split_request_that_does_not_fit_leaves_none_of_its_parts_behind():
    gate = threading.Event()
    options = BatchingOptions(
        max_batch_size=8,
        max_execution_batch_size=1,
        enable_large_batch_splitting=True,
        num_batch_threads=1,
        max_enqueued_batches=4,
    )
    servable = Doubler(gate)

    async def send() -> None:
        runner = BatchingRunner(options, ServerMetrics())
        version = LoadedVersion("m", 1, servable, {})
        first = [
            asyncio.ensure_future(runner.run(version, {"x": np.ones(1)}, ["y"])) for _ in range(3)
        ]
        await asyncio.sleep(0)
        with pytest.raises(ServingError, match="is full"):
            await runner.run(version, {"x": np.ones(4)}, ["y"])
        gate.set()
        await asyncio.gather(*first)
        runner.close()

    asyncio.run(send())
    assert servable.sizes == [1, 1, 1]


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"x": np.float32(1)}, "must have at least one dimension"),
        ({"x": np.ones(1), "y": np.ones(2)}, "must have equal 0th-dimension size"),
        ({"x": np.ones(9)}, "Task size 9 is larger than maximum input batch size 8"),
        ({}, "must have at least one input tensor"),
    ],
)
def test_a_request_that_does_not_fit_into_a_batch_is_rejected(feeds, message):
    async def send() -> None:
        runner = BatchingRunner(BatchingOptions(max_batch_size=8), ServerMetrics())
        feeds_as_arrays = {name: np.asarray(value) for name, value in feeds.items()}
        await runner.run(LoadedVersion("m", 1, Doubler(), {}), feeds_as_arrays, ["y"])

    with pytest.raises(ServingError, match=message):
        asyncio.run(send())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size must be at least 1; was 0"),
        ("batch_timeout_micros { value: -1 }", "must not be negative"),
        ("allowed_batch_sizes: [4, 2, 1000]", "must be monotonically increasing"),
        ("allowed_batch_sizes: [2, 4]", "Last entry in allowed_batch_sizes must match"),
        ("max_batch_siz { value: 8 }", 'no field named "max_batch_siz"'),
    ],
)
def test_inconsistent_parameters_are_rejected_with_the_file_name(tmp_path, text, message):
    path = tmp_path / "batching.txt"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_batching_options(str(path))
    assert str(path) in str(caught.value)
