"""`prodml retrain`: runs a pipeline once when a trigger is due, and exits with what happened."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from support.retrained import RetrainedProject


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


def test_a_failing_run_is_repeated_until_its_attempts_are_used_up(
    project: RetrainedProject,
) -> None:
    (project.root / "fail").touch()
    reports = [project.retrain() for _ in range(3)]
    assert [code for code, _ in reports] == [1, 1, 1]
    assert [r["outcome"] for _, r in reports] == ["failed", "failed", "gave up"]
    assert project.trainings == 2
    assert reports[1][1]["triggers"][0]["reason"].endswith(f"after {reports[0][1]['run_id']}")
    (project.root / "fail").unlink()
    # Changed code is another state, so there are attempts again.
    code = (project.root / "pipeline.py").read_text()
    (project.root / "pipeline.py").write_text(code.replace('write("x")', 'write("y")'))
    assert project.retrain()[1]["outcome"] == "succeeded"


def test_two_processes_that_fire_at_the_same_time_start_one_run(project: RetrainedProject) -> None:
    (project.root / "hold").touch()
    both = [project.start("retrain", "pipeline.py", "--json") for _ in range(2)]
    deadline = time.monotonic() + 60
    while all(process.poll() is None for process in both) and time.monotonic() < deadline:
        time.sleep(0.05)
    (project.root / "hold").unlink()
    ended = [(*process.communicate(timeout=60), process.returncode) for process in both]
    outcomes = sorted((code, json.loads(out)["outcome"]) for out, _, code in ended)
    assert outcomes == [(0, "succeeded"), (4, "in progress")], ended
    assert project.trainings == 1


def test_a_killed_run_does_not_hold_its_key(project: RetrainedProject) -> None:
    (project.root / "hold").touch()
    process = project.start("retrain", "pipeline.py")
    while not project.trainings:
        assert process.poll() is None
        time.sleep(0.02)
    code, report = project.retrain()
    assert (code, report["outcome"], report["triggers"][0]["answer"]) == (
        4,
        "in progress",
        "running",
    )
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (project.root / "hold").unlink()
    code, report = project.retrain()
    assert (code, report["outcome"]) == (0, "succeeded")
    assert "run 2 of 2" in report["triggers"][0]["reason"]
