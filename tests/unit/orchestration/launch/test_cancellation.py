"""The first signal interrupts the main thread, also inside a system call."""

import signal
import threading
import time

import pytest

from prodml.orchestration.launch.cancellation import cancellable


def test_a_signal_that_no_system_call_notices_interrupts_it_anyway() -> None:
    # The same happens if a signal arrives just before the main thread enters the system call.
    def signal_this_thread() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), cancellable(lambda: None, grace_seconds=60):
        threading.Timer(0.2, signal_this_thread).start()
        time.sleep(20)
    assert time.monotonic() - began < 15
