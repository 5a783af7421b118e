"""Limits on concurrent requests and their memory, checked before a request is processed."""

from __future__ import annotations

from types import TracebackType

from prodml.errors import ServingError

_SMALL = 1 << 16
"""Bytes up to which an arriving request is not counted: the number of connections limits those."""


class Admission:
    """Limits the requests in progress and the bytes they hold.

    A request is in progress while it is read, waits, runs or is answered. Use it on the event loop
    only.

    Args:
        max_requests: maximum number of requests in progress.
        max_bytes: maximum bytes of all their bodies and messages.
    """

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._requests = 0
        self._bytes = 0
        self._arriving = 0

    def request(self) -> Admitted:
        """Admits one more request; the context manager releases it on exit.

        Raises:
            ServingError: RESOURCE_EXHAUSTED, the maximum number of requests is in progress.
        """
        if self._requests >= self._max_requests:
            raise ServingError(
                "RESOURCE_EXHAUSTED", f"{self._requests} requests are running or waiting already"
            )
        self._requests += 1
        return Admitted(self)

    def arriving(self) -> Arriving:
        """Counts the arriving bytes of one request; the context manager releases them on exit.

        A client that sends slowly, or announces a large body and sends nothing, uses up neither
        the limit on requests nor the bytes reserved for requests that have arrived.
        """
        return Arriving(self)

    def _check_arriving(self, own: int, size: int) -> None:
        others = self._arriving - own
        if others and others + size > self._max_bytes // 2:
            raise ServingError(
                "RESOURCE_EXHAUSTED",
                f"requests of {others} bytes are arriving already, and {size} more would exceed "
                f"half of the {self._max_bytes} bytes that the server holds at once; retry later",
            )

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


class Arriving:
    """The bytes of one request that is still arriving."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._size = 0

    def expect(self, size: int) -> None:
        """Checks that there is room for a request of this size, without reserving it.

        Raises:
            ServingError: RESOURCE_EXHAUSTED, other requests are arriving, and together with them
                it would exceed half of the bytes that the server may hold.
        """
        if size > _SMALL:
            self._admission._check_arriving(self._size, size)

    def hold(self, size: int) -> None:
        """Sets the number of bytes of this request that have arrived so far.

        Raises:
            ServingError: as `expect`.
        """
        if size > _SMALL:
            self._admission._check_arriving(self._size, size)
            self._admission._arriving += size - self._size
            self._size = size

    def __enter__(self) -> Arriving:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._admission._arriving -= self._size


class Admitted:
    """One admitted request."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._size = 0

    def hold(self, size: int) -> None:
        """Counts bytes of this request until it ends.

        Raises:
            ServingError: RESOURCE_EXHAUSTED, all requests together would exceed the limit.
        """
        self._admission._hold(size)
        self._size += size

    def hold_at_least(self, size: int) -> None:
        """Counts more bytes of this request if it holds fewer than `size`.

        Raises:
            ServingError: as `hold`.
        """
        if size > self._size:
            self.hold(size - self._size)

    def __enter__(self) -> Admitted:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._admission._leave(self._size)
