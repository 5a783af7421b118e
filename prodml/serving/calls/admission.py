"""Bounds on what clients make the server hold, checked before any work is done for them."""

from __future__ import annotations

from types import TracebackType

from prodml.errors import ServingError


class Admission:
    """Counts the requests that are read, wait, run or are answered, and the bytes they hold.

    Used on the event loop alone.

    Args:
        max_requests: requests at once.
        max_bytes: bytes of all their bodies and messages.
    """

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._requests = 0
        self._bytes = 0

    def request(self) -> Admitted:
        """A place for one more request; leave it as a context manager.

        Raises:
            ServingError: RESOURCE_EXHAUSTED, as many requests have places as may.
        """
        if self._requests >= self._max_requests:
            raise ServingError(
                "RESOURCE_EXHAUSTED", f"{self._requests} requests are running or waiting already"
            )
        self._requests += 1
        return Admitted(self)

    def _hold(self, size: int) -> None:
        if self._bytes + size > self._max_bytes:
            raise ServingError(
                "RESOURCE_EXHAUSTED",
                f"requests of {self._bytes} bytes are running or waiting already, and {size} more "
                f"would exceed the {self._max_bytes} bytes that the server holds at once; retry "
                f"later",
            )
        self._bytes += size

    def _leave(self, size: int) -> None:
        self._requests -= 1
        self._bytes -= size


class Admitted:
    """The place of one request."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._size = 0

    def hold(self, size: int) -> None:
        """Counts bytes of this request until it leaves.

        Raises:
            ServingError: RESOURCE_EXHAUSTED, all requests together would hold more than they may.
        """
        self._admission._hold(size)
        self._size += size

    def __enter__(self) -> Admitted:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._admission._leave(self._size)
