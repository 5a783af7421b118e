"""Runs a command, and ends it with all its children when the parent process dies.

Run as a script: `python parent_watch.py COMMAND ...`, in its own process group, with a pipe as
standard input. The pipe is closed when the parent process dies, for whatever reason. The script
exits with the command's exit code, or by the signal that killed the command. It imports only the
standard library, so it starts in a few hundredths of a second.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time

GRACE_SECONDS = 5.0
"""Time between SIGTERM and SIGKILL for the process group."""

_PR_SET_PDEATHSIG = 1


def main(command: list[str]) -> None:
    # The command decides when to end. SIG_IGN would be inherited by it; a handler is not.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    prctl = ctypes.CDLL(None).prctl
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        # The command inherits the parent's descriptors; Python's own descriptors close on exec.
        close_fds=False,
        # Kills the command if this script is killed. Safe here, because there are no threads yet.
        preexec_fn=lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    threading.Thread(target=_end_with_parent, daemon=True).start()
    code = process.wait()
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
