"""Runs a command, and ends it with all its children when whoever started this is gone.

Run as a script: `python guard.py COMMAND ...`, in a process group of its own, with a pipe
as standard input. The end of the pipe means that the starter has died, however it died. It exits
as the command did, by the same signal where one killed it. Standard library only: it starts in a
few hundredths of a second.
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
"""Between asking the group to end and killing it."""

_PR_SET_PDEATHSIG = 1


def main(command: list[str]) -> None:
    # A handler, not SIG_IGN, which the command would inherit: the command decides when to end.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    prctl = ctypes.CDLL(None).prctl
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        # The command inherits what the starter passed; Python's own descriptors close on exec.
        close_fds=False,
        # Safe here, where there are no threads yet: should this be killed, the command goes, too.
        preexec_fn=lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    code = process.wait()
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _end_with_the_starter() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
