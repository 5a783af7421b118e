"""Sets how glibc's malloc gets memory from the system and keeps it."""

from __future__ import annotations

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_large_buffers(size: int) -> None:
    """Reuses freed memory for large buffers; keeps up to `size` bytes of it.

    By default malloc maps a new region for each buffer above 32 MB, and the kernel zeroes its pages
    while gRPC copies a message into it and blocks all other threads. Copying 64 MB took 200 ms in
    new memory and takes 30 ms in reused memory. Does nothing if libc is not glibc.
    """
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, min(size, 2**31 - 1))
