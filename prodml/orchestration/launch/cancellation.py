"""Ctrl-C and SIGTERM: the first one ends a run cleanly, within a grace period; the second kills."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_NUDGE = signal.SIGURG
_NUDGE_SECONDS = 0.2
EXIT_CODE = 130
_GIVE_UP_SECONDS = 5.0


@contextlib.contextmanager
def cancellable(on_give_up: Callable[[], None], grace_seconds: float) -> Iterator[None]:
    """Turns the first SIGINT or SIGTERM into a KeyboardInterrupt in the main thread.

    A second thread watches for signals, too: Python calls a signal handler only between two steps
    of the main thread, which may be inside TensorFlow for minutes. A system call of the main thread
    does not notice a signal that arrives just before it, so the second thread interrupts it.

    Args:
        on_give_up: called in another thread when the grace period is over, just before the process
            exits without cleaning up.
        grace_seconds: how long the block may take to end after the first signal.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # While a node runs, standard error goes to its log.
    terminal = os.dup(2)
    watch = threading.Thread(
        target=_watch, args=(reading, terminal, on_give_up, grace_seconds), daemon=True
    )
    is_first = True

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal is_first
        if is_first:
            is_first = False
            raise KeyboardInterrupt

    before: dict[int, Any] = {
        n: signal.signal(n, interrupt) for n in (signal.SIGINT, signal.SIGTERM)
    }
    # A system call is interrupted only by a signal that has a handler.
    before[_NUDGE] = signal.signal(_NUDGE, lambda *_: None)
    fd_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(fd_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writing)
        watch.join()
        os.close(reading)
        os.close(terminal)


def _watch(
    reading: int, terminal: int, on_give_up: Callable[[], None], grace_seconds: float
) -> None:
    """Ends the process at the second signal, or when the grace period is over."""
    signals, ends = 0, 0.0
    wait: float | None = None
    while True:
        is_ready, _, _ = select.select([reading], [], [], wait)
        if not is_ready and time.monotonic() < ends:
            signal.pthread_kill(threading.main_thread().ident or 0, _NUDGE)
            wait = max(0.0, ends - time.monotonic())
            continue
        if not is_ready:
            _say(
                terminal,
                f"did not end within {grace_seconds:.0f} s after the signal; killed",
            )
            giving_up = threading.Thread(target=on_give_up, daemon=True)
            giving_up.start()
            giving_up.join(_GIVE_UP_SECONDS)
            os._exit(EXIT_CODE)
        got = os.read(reading, 16)
        if not got:
            return
        signals += sum(byte in (signal.SIGINT, signal.SIGTERM) for byte in got)
        if signals > 1:
            _say(terminal, "killed by a second signal")
            os._exit(EXIT_CODE)
        if signals and not ends:
            ends = time.monotonic() + grace_seconds
            wait = min(_NUDGE_SECONDS, grace_seconds)


def _say(terminal: int, text: str) -> None:
    # Not with print: the main thread may hold the lock of the stream.
    with contextlib.suppress(OSError):
        os.write(terminal, f"{text}\n".encode())
