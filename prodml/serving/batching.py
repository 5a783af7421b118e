"""Dynamic batching: requests that arrive together run together.

The rules are those of TF Serving's shared batch scheduler (`batching/batching_session.cc` and
TensorFlow's `core/kernels/batching_util/shared_batch_scheduler.h`), but that a full queue answers
RESOURCE_EXHAUSTED, and that a request which makes its batch fail fails alone.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from prodml.errors import ServingError
from prodml.serving.batching_parameters import BatchingOptions
from prodml.serving.execution import run_in, settle
from prodml.serving.metrics import ServerMetrics
from prodml.serving.tensors import Array
from prodml.serving.versions import LoadedVersion

_Answers: TypeAlias = list["list[Array] | BaseException"]


@dataclass(eq=False)
class _Task:
    feeds: Mapping[str, Array]
    rows: int
    answer: asyncio.Future[list[Array]]
    queued_at: float


@dataclass(eq=False)
class _Batch:
    opened_at: float
    tasks: list[_Task] = field(default_factory=list)
    rows: int = 0


@dataclass(eq=False)
class _Queue:
    """The batches of one version whose calls can run as one; the last one takes more rows."""

    version: LoadedVersion
    fetches: Sequence[str]
    batches: deque[_Batch] = field(default_factory=deque)


class BatchingRunner:
    """Runs calls with the same inputs and outputs together.

    Args:
        options: sizes, waiting times and threads.
        metrics: where sizes and waiting times are counted.
    """

    def __init__(self, options: BatchingOptions, metrics: ServerMetrics) -> None:
        self._options = options
        self._metrics = metrics
        self._idle_threads = options.num_batch_threads
        self._pool = ThreadPoolExecutor(options.num_batch_threads, thread_name_prefix="batch")
        # In the order in which they get a thread: who was served goes to the end.
        self._queues: dict[object, _Queue] = {}
        self._timer: asyncio.TimerHandle | None = None

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
        return await self._enqueue(version, feeds, fetches, rows)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
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
            raise _full(f"; task size is {rows} but scheduling capacity is only {capacity}")
        parts = [
            self._enqueue(
                version,
                {name: value[start : start + size] for name, value in feeds.items()},
                fetches,
                min(size, rows - start),
            )
            for start in range(0, rows, size)
        ]
        answers = await asyncio.gather(*parts)
        return [np.concatenate(outputs) for outputs in zip(*answers, strict=True)]

    async def _enqueue(
        self,
        version: LoadedVersion,
        feeds: Mapping[str, Array],
        fetches: Sequence[str],
        rows: int,
    ) -> list[Array]:
        key = (version, *fetches, *(self._kind(name, value) for name, value in feeds.items()))
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue(version, fetches)
        now = time.monotonic()
        batches = queue.batches
        if not batches or batches[-1].rows + rows > self._options.run_size:
            if len(batches) >= self._options.max_enqueued_batches:
                raise _full()
            batches.append(_Batch(now))
        task = _Task(feeds, rows, asyncio.get_running_loop().create_future(), now)
        batches[-1].tasks.append(task)
        batches[-1].rows += rows
        version.acquire()
        self._dispatch()
        return await task.answer

    def _kind(self, name: str, value: Array) -> tuple[object, ...]:
        """What two inputs must share to stand in one tensor."""
        if self._options.pad_variable_length_inputs:
            return name, value.dtype, value.ndim
        return name, value.dtype, value.shape[1:]

    def _dispatch(self) -> None:
        """Gives threads to the batches that may run; sets a timer for the next that will."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = time.monotonic()
        next_due = math.inf
        for key, queue in list(self._queues.items()):
            while self._idle_threads and queue.batches:
                if (due := self._due(queue)) > now:
                    next_due = min(next_due, due)
                    break
                self._start(queue, queue.batches.popleft(), now)
            del self._queues[key]
            if queue.batches:
                self._queues[key] = queue
        if next_due < math.inf:
            self._timer = asyncio.get_running_loop().call_later(next_due - now, self._dispatch)

    def _due(self, queue: _Queue) -> float:
        """When the first batch may run; one that is full or behind which another waits, now."""
        first = queue.batches[0]
        if len(queue.batches) > 1 or first.rows >= self._options.run_size:
            return 0.0
        return first.opened_at + self._options.batch_timeout_micros / 1e6

    def _start(self, queue: _Queue, batch: _Batch, now: float) -> None:
        wanted = [task for task in batch.tasks if not task.answer.done()]
        for _ in range(len(batch.tasks) - len(wanted)):
            queue.version.release()
        if not wanted:
            return
        rows = sum(task.rows for task in wanted)
        padded = self._options.padded(rows) if rows else 0
        waited = [now - task.queued_at for task in wanted]
        self._metrics.batch(queue.version.model, rows, padded, waited)
        self._idle_threads -= 1

        def finish(answers: _Answers | None, error: BaseException | None) -> None:
            self._idle_threads += 1
            for index, task in enumerate(wanted):
                answer = answers[index] if answers is not None else error
                queue.version.release()
                if isinstance(answer, BaseException):
                    settle(task.answer, None, answer)
                else:
                    settle(task.answer, answer, None)
            self._dispatch()

        run_in(
            self._pool,
            lambda: _run_together(queue.version, queue.fetches, wanted, padded),
            finish,
        )


def _run_together(
    version: LoadedVersion, fetches: Sequence[str], tasks: Sequence[_Task], padded: int
) -> _Answers:
    """One answer a task. Where the batch fails, each runs by itself: one's fault is not all's."""
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
    """The inputs one below the other; the first row again where the batch must be larger."""
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
    """The value with each row as large as `shape`: zeros, or empty strings, at the ends."""
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


def _full(detail: str = "") -> ServingError:
    return ServingError(
        "RESOURCE_EXHAUSTED",
        f"The batch scheduling queue to which this task was submitted is full{detail}",
    )
