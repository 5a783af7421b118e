"""Captures what native code, libraries and user code print, at the level of file descriptors."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


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
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            yield
    finally:
        _flush()
        for descriptor, original in zip((1, 2), saved, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
        os.close(target)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # A stream that a test replaced or closed has nothing to flush.
        with contextlib.suppress(ValueError, AttributeError):
            stream.flush()
