"""Calls of loaded models, away from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from prodml.serving.models.model_version import LoadedVersion
from prodml.serving.values.data_types import Array

Result = TypeVar("Result")


class Runner(Protocol):
    """Runs the calls of all models; used on the event loop alone."""

    async def run(
        self, version: LoadedVersion, feeds: Mapping[str, Array], fetches: Sequence[str]
    ) -> list[Array]:
        """The fetched tensors; see `Servable.run`. The version stays loaded until it has run.

        Raises:
            ServingError: the model failed, or its queue is full.
        """

    def close(self) -> None:
        """Waits for the calls that run."""


class DirectRunner:
    """Runs every call by itself in a thread.

    Args:
        threads: calls that run at once.
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
            settle(answer, outputs, error)

        call = run_in(self._pool, lambda: version.servable.run(feeds, fetches), finish)
        try:
            return await answer
        finally:
            # The client has gone: a call that still waits for a thread need not run.
            if answer.cancelled() and call.cancel():
                version.release()

    def close(self) -> None:
        self._pool.shutdown()


async def run_in_thread(pool: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
    """What `work` returns, or raises, in a pool's thread; it never runs if the caller is cancelled
    before it begins."""
    result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    call = run_in(pool, work, lambda found, error: settle(result, found, error))
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
    """Runs `work` in a pool's thread, then `finish` with its result or error on the loop.

    `finish` is called even if the client has gone, unless the future that is returned is cancelled
    before `work` begins.
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


def settle(
    future: asyncio.Future[Result], result: Result | None, error: BaseException | None
) -> None:
    """Gives a future its result or error, unless it was given up."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)  # type: ignore[arg-type]
