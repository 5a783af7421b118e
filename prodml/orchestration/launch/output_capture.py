"""Captures what native code, libraries and user code print, at the level of file descriptors."""

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
    """Sends standard output and error to the end of a file while the block runs.

    TensorFlow's start-up lines come from C++, where replacing `sys.stdout` alone does nothing.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    _flush()
    saved = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        os.dup2(target, 1)
        os.dup2(target, 2)
        # And Python's own streams, which a notebook or a test runner may have replaced.
        with (
            os.fdopen(target, "a", buffering=1, encoding="utf-8", closefd=False) as log,
            contextlib.redirect_stdout(_ByThread(log)),
            contextlib.redirect_stderr(_ByThread(log)),
        ):
            yield
    finally:
        _flush()
        for descriptor, original in zip((1, 2), saved, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
        os.close(target)


@contextlib.contextmanager
def secrets_hidden() -> Iterator[None]:
    """Hides revealed secrets in what Python prints while the block runs, wherever it goes."""
    with (
        contextlib.redirect_stdout(_ByThread(sys.stdout)),
        contextlib.redirect_stderr(_ByThread(sys.stderr)),
    ):
        yield


@contextlib.contextmanager
def captured_thread(path: str) -> Iterator[None]:
    """Sends what Python code of this thread prints to the end of a file while the block runs.

    Only inside of `captured`, which gets the rest: descriptors belong to the whole process, so
    what C++ prints cannot be told apart by thread.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "a", buffering=1, encoding="utf-8") as log:
        _own.stream = log
        try:
            yield
        finally:
            del _own.stream


_own = threading.local()
"""`stream`: where output of this thread goes, if not where that of the others does."""


class _ByThread(io.TextIOBase):
    """A text stream that hands what is written on to the thread's own stream, secrets hidden."""

    def __init__(self, shared: Any) -> None:
        self._shared = shared

    def write(self, text: str) -> int:
        self._stream.write(redact(text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

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
        # A stream that a test replaced or closed has nothing to flush.
        with contextlib.suppress(ValueError, AttributeError):
            stream.flush()
