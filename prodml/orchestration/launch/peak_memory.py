"""Peak memory of this process, node by node."""

from __future__ import annotations

import contextlib
import resource


def reset_peak() -> None:
    """Starts a new measurement, where the system lets us (Linux does)."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak() -> int:
    """Highest resident memory since `reset_peak`, in bytes; since the start of the process where
    the system cannot reset it."""
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
