from __future__ import annotations

import errno
import logging
import sys

from prodml.serving.rest_api.accept_failures import AcceptFailures


def record(error: BaseException, message: str = "socket.accept() out of system resource"):
    try:
        raise error
    except BaseException:
        return logging.LogRecord("asyncio", logging.ERROR, "", 0, message, (), sys.exc_info())


def test_connections_that_cannot_be_accepted_are_logged_once_in_a_while_in_one_line():
    now = [0.0]
    failures = AcceptFailures(seconds=60, clock=lambda: now[0])
    first = record(OSError(errno.EMFILE, "Too many open files"))
    assert failures.filter(first)
    assert first.exc_info is None
    assert first.getMessage() == (
        "Cannot accept a connection: [Errno 24] Too many open files; raise the limit of open "
        "files (ulimit -n) or close connections"
    )
    now[0] = 59.0
    assert not failures.filter(record(OSError(errno.EMFILE, "Too many open files")))
    now[0] = 61.0
    assert failures.filter(record(OSError(errno.ENFILE, "Too many open files in system")))


def test_other_records_are_logged_as_they_are():
    failures = AcceptFailures(seconds=60, clock=lambda: 0.0)
    for _ in range(2):
        other = record(ValueError("wrong"), "Exception in callback")
        assert failures.filter(other)
        assert other.exc_info is not None
    assert failures.filter(logging.LogRecord("asyncio", logging.INFO, "", 0, "text", (), None))
