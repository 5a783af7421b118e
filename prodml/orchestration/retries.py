"""Which failures of a node are worth another attempt, and when."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from prodml.errors import ServingError, WorkerLostError

_TRANSIENT_ERRNOS = frozenset(
    {
        errno.EIO,
        errno.EAGAIN,
        errno.EBUSY,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    }
)
_TRANSIENT_CODES = frozenset({"UNAVAILABLE", "ABORTED"})
_TENSORFLOW_CODES = frozenset({14, 10})
"""UNAVAILABLE and ABORTED."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often a node is tried, and how long is waited between attempts.

    Attributes:
        max_attempts: in all; 1 for no second attempt.
        wait_seconds: before the second attempt; doubled, with jitter, before each later one.
        longest_wait_seconds: no wait is longer.
    """

    max_attempts: int = 3
    wait_seconds: float = 1.0
    longest_wait_seconds: float = 60.0


def is_transient(error: BaseException) -> bool:
    """Whether the same attempt may well succeed a little later.

    That is so for lost connections, I/O errors, lost workers and servers that are not available,
    also where another error was raised from them. Everything else, above all what is wrong with
    code, data or configuration, would only fail again.
    """
    cause: BaseException | None = error
    while cause is not None:
        if _is_transient_itself(cause):
            return True
        cause = cause.__cause__
    return False


def _is_transient_itself(error: BaseException) -> bool:
    if isinstance(error, WorkerLostError | ConnectionError | TimeoutError):
        return True
    if isinstance(error, ServingError):
        return error.code in _TRANSIENT_CODES
    if isinstance(error, OSError):
        return error.errno in _TRANSIENT_ERRNOS
    if type(error).__module__.startswith("tensorflow."):
        return getattr(error, "error_code", None) in _TENSORFLOW_CODES
    if type(error).__module__.startswith("grpc."):
        code = getattr(error, "code", None)
        return callable(code) and getattr(code(), "name", "") in _TRANSIENT_CODES
    return False
