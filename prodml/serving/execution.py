"""Calls of loaded models, away from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from prodml.errors import ServingError
from prodml.serving.tensors import Array
from prodml.serving.versions import LoadedVersion

Result = TypeVar("Result")


class Runner(Protocol):
    """Runs the calls of all models; used on the event loop alone."""

    async def run(
        self, version: LoadedVersion, feeds: Mapping[str, Array], fetches: Sequence[str]
    ) -> list[Array]:
        """The fetched tensors; see `Servable.run`. The version stays loaded until it has run.

        Raises:
            ServingError: the model failed, or too many calls wait.
        """

    def close(self) -> None:
        """Waits for the calls that run."""


class DirectRunner:
    """Runs every call by itself in a thread.

    Args:
        threads: calls that run at once.
        max_waiting: calls that may run or wait; any more are refused.
    """

    def __init__(self, threads: int, max_waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="inference")
        self._max_waiting = max_waiting
        self._waiting = 0

    async def run(
        self, version: LoadedVersion, feeds: Mapping[str, Array], fetches: Sequence[str]
    ) -> list[Array]:
        if self._waiting >= self._max_waiting:
            raise ServingError(
                "RESOURCE_EXHAUSTED", f"{self._waiting} requests are running or waiting already"
            )
        answer: asyncio.Future[list[Array]] = asyncio.get_running_loop().create_future()
        self._waiting += 1
        version.acquire()

        def finish(outputs: list[Array] | None, error: BaseException | None) -> None:
            self._waiting -= 1
            version.release()
            settle(answer, outputs, error)

        run_in(self._pool, lambda: version.servable.run(feeds, fetches), finish)
        return await answer

    def close(self) -> None:
        self._pool.shutdown()


def run_in(
    pool: ThreadPoolExecutor,
    work: Callable[[], Result],
    finish: Callable[[Result | None, BaseException | None], None],
) -> None:
    """Runs `work` in a pool's thread, then `finish` with its result or error on the loop.

    `finish` is called even where nobody waits any more: a request that was given up leaves its
    call running.
    """
    loop = asyncio.get_running_loop()

    def work_then_finish() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:
            error = raised
        loop.call_soon_threadsafe(finish, result, error)

    pool.submit(work_then_finish)


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
