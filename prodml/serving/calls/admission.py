"""Bounds on what clients make the server hold, checked before any work is done for them."""

from __future__ import annotations

from types import TracebackType

from prodml.errors import ServingError

_SMALL = 1 << 16
"""Bytes up to which a request that arrives is not counted: connections are fewer than such."""


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
        self._arriving = 0

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

    def arriving(self) -> Arriving:
        """Counts the bytes of one request that arrive; leave it as a context manager.

        A client that sends slowly, or announces much and sends nothing, takes no place of a request
        and no bytes from those that have arrived.
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
    """The bytes of one request of which more is to come."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._size = 0

    def expect(self, size: int) -> None:
        """Checks that there is room for a request of this size; holds nothing.

        Raises:
            ServingError: RESOURCE_EXHAUSTED, together with other requests that arrive it would be
                more than half of the bytes that the server holds.
        """
        if size > _SMALL:
            self._admission._check_arriving(self._size, size)

    def hold(self, size: int) -> None:
        """Counts what has arrived of this request, all in all.

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
