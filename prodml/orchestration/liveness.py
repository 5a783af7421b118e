"""Whether the process that holds a lease still lives."""

from __future__ import annotations

import functools
import os
import socket
import time

from prodml.metadata.records import LeaseRecord, ProcessRecord

HEARTBEAT_SECONDS = 10.0
SILENCE_SECONDS = 60.0
"""A holder that cannot be looked at, on another machine, is dead when it was silent so long."""


@functools.cache
def this_process() -> ProcessRecord:
    """This process, as a lease names it."""
    pid = os.getpid()
    return ProcessRecord(socket.gethostname(), _machine(), pid, _start_time(pid) or 0)


def is_held(lease: LeaseRecord) -> bool:
    """Whether a lease was not given back and its holder lives."""
    return not lease.ended and _is_alive(lease.holder, lease.heartbeat)


def is_here(holder: ProcessRecord) -> bool:
    """Whether a process is, or was, one that this process can look at."""
    return bool(holder.machine) and holder.machine == this_process().machine


def _is_alive(holder: ProcessRecord, heartbeat: int) -> bool:
    if is_here(holder):
        return _start_time(holder.pid) == holder.started
    if holder.machine and holder.host == this_process().host and _boot(holder) != _boot(None):
        # The same machine before it was started anew.
        return False
    return time.time() - heartbeat / 1000 < SILENCE_SECONDS


def _boot(holder: ProcessRecord | None) -> str:
    return (holder or this_process()).machine.partition("/")[0]


def _machine() -> str:
    """Boot and process namespace: where both are the same, a process number means the same."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def _start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since the boot; None where it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command's name stands in parentheses and may hold anything.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    is_zombie = fields[0] in (b"Z", b"X")
    return None if is_zombie else int(fields[19])
