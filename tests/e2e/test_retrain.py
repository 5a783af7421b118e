"""`prodml retrain`: runs a pipeline once when a trigger is due, and exits with what happened."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support.retrained import RetrainedProject

from prodml.metadata.store import Store
from prodml.metadata.trigger_claims import TriggerTable


@pytest.fixture
def project(tmp_path: Path) -> RetrainedProject:
    return RetrainedProject(tmp_path, {"new_span": True, "max_attempts": 2})


def test_a_new_span_is_trained_on_once_and_imports_no_tensorflow(project: RetrainedProject) -> None:
    code, report = project.retrain()
    assert (code, report["outcome"]) == (0, "succeeded")
    assert report["triggers"][0]["reason"] == "there is no model yet"
    idle = project.run("retrain", "pipeline.py", environment={"PYTHONPROFILEIMPORTTIME": "1"})
    assert idle.returncode == 4
    imported = {line.rpartition("|")[2].strip() for line in idle.stderr.splitlines()}
    assert "prodml.retraining.decision" in imported
    assert not imported & {"tensorflow", "apache_beam", "pyarrow", "tensorflow_data_validation"}
    assert "span 1" in idle.stdout and "after span 1" in idle.stdout
    assert "pipeline small: not due; no run was started" in idle.stdout
    project.span(2)
    due = project.run("retrain", "pipeline.py", "--require-push")
    assert due.returncode == 3 and "no model was pushed" in due.stderr
    assert "pipeline small is due: it runs now" in due.stdout and "1 cached" in due.stdout
    assert project.trainings == 2


def started_at_once(project: RetrainedProject) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """Starts two processes at once; returns the one that trains, and the report of the other."""
    both = [project.start("retrain", "pipeline.py", "--json") for _ in range(2)]
    deadline = time.monotonic() + 120
    while all(process.poll() is None for process in both) or not project.trainings:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (winner,) = [process for process in both if process.poll() is None]
    (loser,) = [process for process in both if process is not winner]
    output, _ = loser.communicate()
    assert loser.returncode == 4
    return winner, json.loads(output)


def test_one_of_two_processes_runs_and_its_failures_are_repeated_a_limited_number_of_times(
    project: RetrainedProject,
) -> None:
    (project.root / "hold").touch()
    winner, report = started_at_once(project)
    assert report["outcome"] == "in progress" and project.trainings == 1
    code, report = project.retrain()
    assert (code, report["outcome"]) == (4, "in progress")
    assert report["triggers"][0]["answer"] == "running"
    # A killed run does not hold its key: it counts as the first of two attempts.
    os.kill(winner.pid, signal.SIGKILL)
    winner.communicate()
    (project.root / "fail").touch()
    code, report = project.retrain()
    assert (code, report["outcome"]) == (1, "failed") and report["run_id"]
    assert "run 2 of 2" in report["triggers"][0]["reason"]
    code, report = project.retrain()
    assert (code, report["outcome"]) == (1, "gave up")
    assert project.trainings == 2


def test_a_scheduler_catches_up_a_missed_check_again_if_it_was_cancelled(tmp_path: Path) -> None:
    schedule = {"cron": "0 3 1 * *", "timezone": "Europe/Berlin"}
    project = RetrainedProject(tmp_path, {"new_span": True, "schedule": schedule})
    TriggerTable(Store(str(tmp_path / ".prodml" / "metadata.db"))).record_check("small", 1)
    (tmp_path / "hold").touch()
    scheduler = project.start_scheduler()
    while not project.trainings:
        assert scheduler.poll() is None
        time.sleep(0.02)
    scheduler.send_signal(signal.SIGTERM)
    output, errors = scheduler.communicate(timeout=120)
    assert scheduler.returncode == 0, errors
    assert "(missed)" in output and output.endswith("stopped\n")
    assert "small: cancelled" in output and "was cancelled; completed nodes are kept" in errors
    (tmp_path / "hold").unlink()
    scheduler = project.start_scheduler()
    assert scheduler.stdout is not None
    lines = []
    for line in scheduler.stdout:
        lines.append(line)
        if "small: a run succeeded" in line:
            scheduler.send_signal(signal.SIGTERM)
    scheduler.communicate()
    assert scheduler.returncode == 0
    assert any("(missed)" in line for line in lines) and "pipeline small is due" in "".join(lines)
