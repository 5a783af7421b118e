"""Limits the logging of connections that exceed the limit of open files."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_ACCEPT_FAILED = "socket.accept() out of system resource"
_SECONDS = 60.0


class AcceptFailures(logging.Filter):
    """Filters asyncio's log, which would write a hundred tracebacks per second if the process has
    no file descriptor left for a connection.

    Args:
        seconds: minimum time between two log lines.
        clock: a clock such as `time.monotonic`.
    """

    def __init__(
        self, seconds: float = _SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._next = clock()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info is None or not record.getMessage().startswith(_ACCEPT_FAILED):
            return True
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._seconds
        record.msg = (
            f"Cannot accept a connection: {record.exc_info[1]}; raise the limit of open files "
            f"(ulimit -n) or close connections"
        )
        record.exc_info = None
        return True
