"""Runs `prodml` under the kill harness with a lease that expires in seconds instead of a minute.

python short_lease.py POINTS KILL_AT run pipeline.py ...

The process is never stopped in the middle of a heartbeat: one that is stopped while it holds the
lock of a SQLite file keeps everybody from the file, and nobody can take the lease over.
"""

import threading

from faults import killed_run

from prodml.orchestration.ownership import leases, liveness

HEARTBEAT_SECONDS, SILENCE_SECONDS = 0.3, 2.0


def stop_between_heartbeats() -> None:
    """Makes heartbeats and the signal exclude each other."""
    whole = threading.RLock()
    beat, send = leases._Heartbeat._beat, killed_run.Points.send

    def whole_beat(self: leases._Heartbeat) -> None:
        with whole:
            beat(self)

    def send_between(self: killed_run.Points) -> None:
        with whole:
            send(self)

    leases._Heartbeat._beat = whole_beat
    killed_run.Points.send = send_between


if __name__ == "__main__":
    liveness.HEARTBEAT_SECONDS = HEARTBEAT_SECONDS
    liveness.SILENCE_SECONDS = SILENCE_SECONDS
    stop_between_heartbeats()
    killed_run.main()
