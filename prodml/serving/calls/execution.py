"""Runs calls of loaded models in threads, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from prodml.serving.models.model_version import LoadedVersion
from prodml.serving.values.data_types import Array

Result = TypeVar("Result")


class Runner(Protocol):
    """Runs the calls of all models. Use it on the event loop only."""

    async def run(
        self, version: LoadedVersion, feeds: Mapping[str, Array], fetches: Sequence[str]
    ) -> list[Array]:
        """Computes the fetched tensors; see `Servable.run`. Keeps the version loaded until then.

        Raises:
            ServingError: the model failed, or its queue is full.
        """

    def close(self) -> None:
        """Waits for the running calls."""


class DirectRunner:
    """Runs each call in a thread, without batching.

    Args:
        threads: maximum number of concurrent calls.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="inference")

    async def run(
        self, version: LoadedVersion, feeds: Mapping[str, Array], fetches: Sequence[str]
    ) -> list[Array]:
        answer: asyncio.Future[list[Array]] = asyncio.get_running_loop().create_future()
        version.acquire()

        def finish(outputs: list[Array] | None, error: BaseException | None) -> None:
            version.release()
            set_outcome(answer, outputs, error)

        call = run_in(self._pool, lambda: version.servable.run(feeds, fetches), finish)
        try:
            return await answer
        finally:
            # The client has disconnected: a call that still waits for a thread need not run.
            if answer.cancelled() and call.cancel():
                version.release()

    def close(self) -> None:
        self._pool.shutdown()


async def run_in_thread(pool: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
    """Runs `work` in a pool's thread and returns its result or raises its error. `work` does not
    run if the caller is cancelled before a thread is free."""
    result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    call = run_in(pool, work, lambda found, error: set_outcome(result, found, error))
    try:
        return await result
    finally:
        if result.cancelled():
            call.cancel()


def run_in(
    pool: ThreadPoolExecutor,
    work: Callable[[], Result],
    finish: Callable[[Result | None, BaseException | None], None],
) -> Future[None]:
    """Runs `work` in a pool's thread, then `finish` with its result or error on the event loop.

    `finish` is called even if the client has disconnected, unless the returned future is cancelled
    before `work` starts.
    """
    loop = asyncio.get_running_loop()

    def work_then_finish() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:
            error = raised
        loop.call_soon_threadsafe(finish, result, error)

    return pool.submit(work_then_finish)


def set_outcome(
    future: asyncio.Future[Result], result: Result | None, error: BaseException | None
) -> None:
    """Sets a future's result or error, unless the future was cancelled."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)  # type: ignore[arg-type]
