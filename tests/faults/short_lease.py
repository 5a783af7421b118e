"""Runs `prodml` under the kill harness with a lease that lapses in seconds instead of a minute.

python short_lease.py POINTS KILL_AT run pipeline.py ...
"""

from faults import killed_run

from prodml.orchestration.ownership import liveness

HEARTBEAT_SECONDS, SILENCE_SECONDS = 0.3, 2.0

if __name__ == "__main__":
    liveness.HEARTBEAT_SECONDS = HEARTBEAT_SECONDS
    liveness.SILENCE_SECONDS = SILENCE_SECONDS
    killed_run.main()
