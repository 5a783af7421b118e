"""The GitHub workflows: pinned actions, few permissions, and steps that do what they say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.retrained import RetrainedProject

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RETRAIN = ROOT / ".github" / "workflows" / "retrain.yml"


def document(workflow: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(workflow.read_text())
    return loaded


def steps(workflow: Path) -> list[dict[str, Any]]:
    return [step for job in document(workflow)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_tokens_can_do_little(workflow: Path) -> None:
    for line in re.findall(r"uses: (.*)", workflow.read_text()):
        assert re.fullmatch(r"actions/[\w/-]+@[0-9a-f]{40} # v[\d.]+", line), line
    found = document(workflow)
    assert found["permissions"] == {"contents": "read"}
    granted = {
        name: job["permissions"] for name, job in found["jobs"].items() if "permissions" in job
    }
    assert granted in ({}, {"report-failure": {"issues": "write"}})
    for step in steps(workflow):
        # A value that GitHub inserts into a script would be executed; variables are only data.
        assert "${{ github" not in step.get("run", "")
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def run_step(name: str, project: RetrainedProject, **variables: str) -> tuple[int, str]:
    """Runs a step of retrain.yml in a project, as GitHub does, and returns code and summary."""
    (step,) = [step for step in steps(RETRAIN) if step.get("name") == name]
    summary = project.root / "summary.md"
    environment = {
        **os.environ,
        "PATH": f"{project.root / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PIPELINE": "pipeline.py",
        "CONFIG": "config.yaml",
        "GITHUB_STEP_SUMMARY": str(summary),
        **variables,
    }
    ran = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=project.root,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "command not found" not in ran.stderr, ran.stderr
    return ran.returncode, summary.read_text() if summary.exists() else ""


@pytest.fixture
def project(tmp_path: Path) -> RetrainedProject:
    (tmp_path / ".ci").symlink_to(ROOT / ".ci")
    return RetrainedProject(tmp_path, {"new_span": True})


def test_the_retraining_step_succeeds_if_nothing_is_due_and_fails_if_nothing_is_pushed(
    project: RetrainedProject,
) -> None:
    name = "Retrain if a trigger is due"
    code, summary = run_step(name, project)
    assert code == 3 and "### Retraining of small: succeeded, but no model was pushed" in summary
    assert "| new_span Read | span 1 | after no span | due | there is no model yet |" in summary
    assert "Run 2" in summary and "Train" in summary
    report = json.loads((project.root / "build" / "retrain" / "retrain.json").read_text())
    assert report["outcome"] == "succeeded"
    assert "Train runs" in (project.root / "build" / "retrain" / "retrain.log").read_text()
    code, summary = run_step(name, project)
    assert code == 0 and "### Retraining of small: not due" in summary


def test_a_refused_request_is_shown_in_the_summary(project: RetrainedProject) -> None:
    code, summary = run_step("Retrain if a trigger is due", project, CONFIG="missing.yaml")
    assert code == 2 and "configuration file missing.yaml does not exist" in summary


@pytest.mark.parametrize(
    ("open_issue", "expected"), [("", "issue create"), ("7", "issue comment 7")]
)
def test_a_failure_opens_one_issue(
    project: RetrainedProject, open_issue: str, expected: str
) -> None:
    gh = project.root / "bin" / "gh"
    gh.parent.mkdir()
    gh.write_text(f'#!/bin/sh\necho "$*" >>calls\n[ "$2" != list ] || echo "{open_issue}"\n')
    gh.chmod(0o755)
    code, _ = run_step("Open an issue, or comment on the open one", project, RUN_URL="https://run")
    calls = (project.root / "calls").read_text().splitlines()
    assert code == 0 and calls[1].startswith(expected) and "https://run" in calls[1]
