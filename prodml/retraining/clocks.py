"""Detects that the clocks of machines which share a metadata store differ."""

from __future__ import annotations

import datetime
import socket

from prodml.errors import ClockError
from prodml.metadata.leases import LeaseTable
from prodml.metadata.store import Store

TOLERANCE_SECONDS = 30.0


def require_agreeing_clock(store: Store, pipeline: str, now: int) -> None:
    """Checks that the newest run of a pipeline is not from the future.

    Keys contain no time, so differing clocks never start two runs for one state. But the age of a
    model and the liveness of another process would be wrong.

    Args:
        now: the time of this machine in Unix ms.

    Raises:
        ClockError: the newest run is from the future.
    """
    lease = LeaseTable(store).newest(pipeline)
    if lease is not None:
        what = f"run {lease.run_id} of pipeline {pipeline} on {lease.holder.host}"
        require_past(lease.heartbeat, now, what, f"prodml run for pipeline {pipeline}")


def require_past(recorded: int, now: int, what: str, remedy: str) -> None:
    """Checks that a record is not from the future.

    Args:
        recorded: the time of the record in Unix ms.
        now: the time of this machine in Unix ms.
        what: what was recorded.
        remedy: the command that replaces the record.

    Raises:
        ClockError: it is from the future.
    """
    ahead = (recorded - now) / 1000
    if ahead > TOLERANCE_SECONDS:
        raise ClockError(
            f"{what} was recorded at {_text(recorded)}, but the clock of {socket.gethostname()} "
            f"says {_text(now)}: the clocks of two machines differ by at least {ahead:.0f} s; "
            f"check both with timedatectl; if they agree now, replace the record: {remedy}"
        )


def _text(milliseconds: int) -> str:
    time = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")
