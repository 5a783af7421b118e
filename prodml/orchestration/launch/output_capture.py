"""Captures the output of native code, libraries and user code, by redirecting file descriptors."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from prodml.secrets import redact


@contextlib.contextmanager
def captured(path: str) -> Iterator[None]:
    """Appends standard output and error to a file while the block runs.

    TensorFlow's start-up lines come from C++, so replacing `sys.stdout` is not enough.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    _flush()
    saved = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        os.dup2(target, 1)
        os.dup2(target, 2)
        # Also Python's own streams, which a notebook or a test runner may have replaced.
        with (
            os.fdopen(target, "a", buffering=1, encoding="utf-8", closefd=False) as log,
            contextlib.redirect_stdout(_ByThread(log)),
            contextlib.redirect_stderr(_ByThread(log)),
        ):
            yield
    finally:
        # Nested, because an interrupt may come at any of these steps: the descriptors must be
        # restored even so, or the message of the interrupt would go to the log.
        try:
            _flush()
        finally:
            try:
                os.dup2(saved[0], 1)
            finally:
                os.dup2(saved[1], 2)
                for descriptor in (*saved, target):
                    os.close(descriptor)


@contextlib.contextmanager
def secrets_hidden() -> Iterator[None]:
    """Redacts revealed secrets in the output of Python code while the block runs."""
    with (
        contextlib.redirect_stdout(_ByThread(sys.stdout)),
        contextlib.redirect_stderr(_ByThread(sys.stderr)),
    ):
        yield


@contextlib.contextmanager
def captured_thread(path: str) -> Iterator[None]:
    """Appends the output of this thread's Python code to a file while the block runs.

    Use it only inside `captured`, which captures the rest: descriptors belong to the whole process,
    so the output of C++ code cannot be separated by thread.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "a", buffering=1, encoding="utf-8") as log:
        _own.stream = log
        try:
            yield
        finally:
            del _own.stream


_own = threading.local()
"""`stream`: the stream for output of this thread, if it has its own."""


class _ByThread(io.TextIOBase):
    """A text stream that writes to the stream of the current thread, and redacts secrets."""

    def __init__(self, shared: Any) -> None:
        self._shared = shared

    def write(self, text: str) -> int:
        self._stream.write(redact(text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        """Does nothing: the stream has another owner.

        Python closes this object when nothing refers to it any more. By then a log handler of a
        library may have kept it for longer than the log was open, which could not be flushed.
        """

    def fileno(self) -> int:
        return int(self._stream.fileno())

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def _stream(self) -> Any:
        return getattr(_own, "stream", self._shared)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # A stream that was replaced or closed, for example by a test, has nothing to flush.
        with contextlib.suppress(ValueError, AttributeError):
            stream.flush()
