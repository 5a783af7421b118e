"""Cancels jobs by Flink's own REST API."""

from __future__ import annotations

import time

import httpx

from prodml.errors import RunnerError

_TIMEOUT_SECONDS = 30.0
_SUBMISSION_SECONDS = 10.0
"""How long a job server may still be submitting a job that it was told to cancel."""

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
    started = time.monotonic()
    with httpx.Client(base_url=master, timeout=_TIMEOUT_SECONDS) as client:
        while not _is_ended(client, name, time.monotonic() - started < _SUBMISSION_SECONDS):
            if time.monotonic() - started > _TIMEOUT_SECONDS:
                raise RunnerError(
                    f"job {name} is still running on Flink at {master}; cancel it there"
                )
            time.sleep(0.2)


def _is_ended(client: httpx.Client, name: str, may_be_submitted: bool) -> bool:
    """Cancels a job if it runs; returns whether it has ended, or will never be submitted."""
    jobs = client.get("/jobs/overview").raise_for_status().json()["jobs"]
    ours = [job for job in jobs if job["name"] == name]
    running = [job for job in ours if job["state"] not in _ENDED]
    for job in running:
        if job["state"] != "CANCELLING":
            client.patch(f"/jobs/{job['jid']}", params={"mode": "cancel"}).raise_for_status()
    return not running if ours else not may_be_submitted
