"""Cancels jobs by Flink's own REST API."""

from __future__ import annotations

import time
from typing import Any

import httpx

from prodml.errors import RunnerError

_TIMEOUT_SECONDS = 30.0
_ENDED = frozenset({"CANCELED", "FAILED", "FINISHED"})


def cancel_flink_job(master: str, beam_job_id: str) -> None:
    """Cancels a batch job, and waits until none of its tasks runs any more.

    Beam's job server cannot: it waits for Flink in a thread, interrupts this thread on a request to
    cancel, and reports the job as CANCELLED, while Flink runs it to its end.

    Args:
        master: URL of Flink's REST API.
        beam_job_id: id of the job at Beam's job server, which starts with its name on Flink.

    Raises:
        RunnerError: the job is still running after 30 s.
        httpx.HTTPError: the REST API failed or does not answer.
    """
    name = beam_job_id.rpartition("_")[0]
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    with httpx.Client(base_url=master, timeout=_TIMEOUT_SECONDS) as client:
        for job in _running(client, name):
            client.patch(f"/jobs/{job['jid']}", params={"mode": "cancel"}).raise_for_status()
        while _running(client, name):
            if time.monotonic() > deadline:
                raise RunnerError(
                    f"job {name} is still running on Flink at {master}; cancel it there"
                )
            time.sleep(0.2)


def _running(client: httpx.Client, name: str) -> list[dict[str, Any]]:
    jobs = client.get("/jobs/overview").raise_for_status().json()["jobs"]
    return [job for job in jobs if job["name"] == name and job["state"] not in _ENDED]
