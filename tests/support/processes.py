"""Waits for processes that a test did not start itself."""

import time
from pathlib import Path


def wait_until_gone(pids: list[int]) -> None:
    """Waits until the processes are gone; a killed process may exist for a moment."""
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(_runs(pid) for pid in pids)


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
