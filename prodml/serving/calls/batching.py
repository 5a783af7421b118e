"""Dynamic batching: requests that arrive together run together.

The rules are those of TF Serving (`batching/batching_session.cc`) with two differences: a full
queue answers RESOURCE_EXHAUSTED, and a request that makes its batch fail does not fail the others.
`batch_scheduler.py` decides which batch runs next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from prodml.errors import ServingError
from prodml.serving.calls.batch_scheduler import Batch, BatchScheduler, Task, queue_full
from prodml.serving.calls.execution import run_in, set_outcome
from prodml.serving.configuration.batching_parameters import BatchingOptions
from prodml.serving.models.model_version import LoadedVersion
from prodml.serving.observation.metrics import ServerMetrics
from prodml.serving.values.data_types import Array

_Answers: TypeAlias = list["list[Array] | BaseException"]
_QUIET_ITERATIONS = 30
"""Event loop iterations without a new request, about 0.2 ms, after which a partial batch runs.
gRPC delivers requests one by one, and a batch of one takes as much time, in TensorFlow and holding
the GIL, as a batch of thirty: waiting for more requests halved the CPU time per request."""
_GATHER_SECONDS = 0.005
"""Maximum time that a batch waits for more requests in this way."""


@dataclass(eq=False)
class _Task(Task):
    version: LoadedVersion
    feeds: Mapping[str, Array]
    fetches: Sequence[str]
    answer: asyncio.Future[list[Array]]
    queued_at: float


class BatchingRunner:
    """Runs calls with the same inputs and outputs together.

    Args:
        options: sizes, waiting times and threads.
        metrics: records batch sizes and waiting times.
    """

    def __init__(self, options: BatchingOptions, metrics: ServerMetrics) -> None:
        self._options = options
        self._metrics = metrics
        self._idle_threads = options.num_batch_threads
        self._pool = ThreadPoolExecutor(options.num_batch_threads, thread_name_prefix="batch")
        self._scheduler: BatchScheduler[_Task] = BatchScheduler(options)
        self._timer: asyncio.TimerHandle | None = None
        self._gathering: asyncio.Handle | None = None
        self._quiet_iterations = 0

    async def run(
        self, version: LoadedVersion, feeds: Mapping[str, Array], fetches: Sequence[str]
    ) -> list[Array]:
        rows = _rows(feeds)
        limit = self._options.max_batch_size
        if self._options.enable_large_batch_splitting and rows > self._options.run_size:
            return await self._run_split(version, feeds, fetches, rows)
        if rows > limit:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Task size {rows} is larger than maximum input batch size {limit}",
            )
        return await self._run_part(version, feeds, fetches, rows)

    def close(self) -> None:
        for waiting in (self._timer, self._gathering):
            if waiting is not None:
                waiting.cancel()
        self._pool.shutdown()

    async def _run_split(
        self,
        version: LoadedVersion,
        feeds: Mapping[str, Array],
        fetches: Sequence[str],
        rows: int,
    ) -> list[Array]:
        size = self._options.run_size
        capacity = self._options.max_enqueued_batches * size
        if rows > capacity:
            raise queue_full(f"; task size is {rows} but scheduling capacity is only {capacity}")
        parts = [
            asyncio.ensure_future(
                self._run_part(
                    version,
                    {name: value[start : start + size] for name, value in feeds.items()},
                    fetches,
                    min(size, rows - start),
                )
            )
            for start in range(0, rows, size)
        ]
        try:
            answers = await asyncio.gather(*parts)
        except ServingError:
            for part in parts:
                part.cancel()
            raise
        return [np.concatenate(outputs) for outputs in zip(*answers, strict=True)]

    async def _run_part(
        self,
        version: LoadedVersion,
        feeds: Mapping[str, Array],
        fetches: Sequence[str],
        rows: int,
    ) -> list[Array]:
        key = (version, *fetches, *(self._kind(name, value) for name, value in feeds.items()))
        now = time.monotonic()
        answer: asyncio.Future[list[Array]] = asyncio.get_running_loop().create_future()
        task = _Task(rows, version, feeds, fetches, answer, now)
        for pushed_out in self._scheduler.enqueue(key, version.model, task, now):
            pushed_out.version.release()
            set_outcome(pushed_out.answer, None, queue_full())
        version.acquire()
        if self._scheduler.is_full(key):
            self._dispatch()
        else:
            self._gather()
        try:
            return await answer
        finally:
            # The client has disconnected: its rows need not run.
            if answer.cancelled() and self._scheduler.withdraw(task):
                version.release()

    def _kind(self, name: str, value: Array) -> tuple[object, ...]:
        """Returns what two inputs must have in common to be rows of one tensor."""
        if self._options.pad_variable_length_inputs:
            return name, value.dtype, value.ndim
        return name, value.dtype, value.shape[1:]

    def _gather(self) -> None:
        """Dispatches once no request has arrived for some loop iterations, or after a timeout."""
        self._quiet_iterations = 0
        if self._gathering is None:
            loop = asyncio.get_running_loop()
            self._gathering = loop.call_soon(self._gather_on, loop.time() + _GATHER_SECONDS)

    def _gather_on(self, until: float) -> None:
        self._quiet_iterations += 1
        loop = asyncio.get_running_loop()
        if self._quiet_iterations < _QUIET_ITERATIONS and loop.time() < until:
            self._gathering = loop.call_soon(self._gather_on, until)
        else:
            self._gathering = None
            self._dispatch()

    def _dispatch(self) -> None:
        """Starts the batches that may run, and sets a timer for the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = time.monotonic()
        while self._idle_threads and (batch := self._scheduler.next_batch(now)) is not None:
            self._start(batch, now)
        if self._idle_threads and (due := self._scheduler.next_due()) is not None:
            self._timer = asyncio.get_running_loop().call_later(due - now, self._dispatch)

    def _start(self, batch: Batch[_Task], now: float) -> None:
        tasks = list(batch.tasks)
        version, fetches = tasks[0].version, tasks[0].fetches
        padded = self._options.padded(batch.rows) if batch.rows else 0
        waited = [now - task.queued_at for task in tasks]
        self._metrics.batch(version.model, batch.rows, padded, waited)
        self._idle_threads -= 1

        def finish(answers: _Answers | None, error: BaseException | None) -> None:
            self._idle_threads += 1
            for index, task in enumerate(tasks):
                answer = answers[index] if answers is not None else error
                version.release()
                if isinstance(answer, BaseException):
                    set_outcome(task.answer, None, answer)
                else:
                    set_outcome(task.answer, answer, None)
            self._gather()

        run_in(self._pool, lambda: _run_together(version, fetches, tasks, padded), finish)


def _run_together(
    version: LoadedVersion, fetches: Sequence[str], tasks: Sequence[_Task], padded: int
) -> _Answers:
    """Returns one answer per task. If the batch fails, each task runs alone, so that one invalid
    request does not fail the others."""
    try:
        outputs = version.servable.run(_joined([task.feeds for task in tasks], padded), fetches)
        _check_rows(outputs, padded)
    except ServingError as error:
        if len(tasks) == 1:
            return [error]
        return [_run_together(version, fetches, [task], task.rows)[0] for task in tasks]
    answers: _Answers = []
    start = 0
    for task in tasks:
        answers.append([output[start : start + task.rows] for output in outputs])
        start += task.rows
    return answers


def _joined(feeds: Sequence[Mapping[str, Array]], padded: int) -> dict[str, Array]:
    """Concatenates the inputs; repeats the first row if the batch must be larger."""
    return {name: _stacked([one[name] for one in feeds], padded) for name in feeds[0]}


def _stacked(values: list[Array], padded: int) -> Array:
    if any(value.shape[1:] != values[0].shape[1:] for value in values):
        shape = tuple(max(sizes) for sizes in zip(*(v.shape[1:] for v in values), strict=True))
        values = [_widened(value, shape) for value in values]
    rows = sum(map(len, values))
    if rows < padded:
        values = [*values, np.repeat(values[0][:1], padded - rows, axis=0)]
    return values[0] if len(values) == 1 else np.concatenate(values)


def _widened(value: Array, shape: tuple[int, ...]) -> Array:
    """Pads each row to `shape` with zeros or empty strings at the ends."""
    filler = b"" if value.dtype == object else 0
    wide = np.full((len(value), *shape), filler, value.dtype)
    wide[tuple(slice(size) for size in value.shape)] = value
    return wide


def _rows(feeds: Mapping[str, Array]) -> int:
    if not feeds:
        raise ServingError("INVALID_ARGUMENT", "Batching Run() must have at least one input tensor")
    rows = -1
    for value in feeds.values():
        if value.ndim == 0:
            raise ServingError(
                "INVALID_ARGUMENT", "Batching Run() input tensors must have at least one dimension"
            )
        if rows not in (-1, len(value)):
            raise ServingError(
                "INVALID_ARGUMENT",
                "Batching Run() input tensors must have equal 0th-dimension size",
            )
        rows = len(value)
    return rows


def _check_rows(outputs: Sequence[Array], rows: int) -> None:
    for output in outputs:
        if output.ndim == 0:
            raise ServingError("FAILED_PRECONDITION", "Batched output tensor has 0 dimensions")
        if len(output) != rows:
            raise ServingError(
                "FAILED_PRECONDITION",
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
                "sizes of the input tensors",
            )
