"""A run continues if its output cannot be written: a closed pipe, a full disk, no terminal."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

PIPELINE = """
import os
from pathlib import Path
from prodml import Input, Output, component, pipeline
from prodml.artifacts import Schema

@component
def First(made: Output[Schema]):
    Path(made.uri, "text").write_text("first")

@component
def Second(source: Input[Schema], made: Output[Schema]):
    if os.path.exists("fail"):
        raise ValueError("on purpose")

@pipeline(name="steps")
def steps():
    Second(source=First().outputs["made"])
"""
PRODML = f"{sys.executable} -m prodml"


class Workspace:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "pipeline.py").write_text(PIPELINE)

    def shell(self, command: str) -> tuple[int, str]:
        ran = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"],
            cwd=self.root, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return ran.returncode, ran.stdout + ran.stderr

    def states(self) -> list[str]:
        _, output = self.shell(f"{PRODML} show latest --json")
        return [node["state"] for node in json.loads(output)["nodes"]]


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_a_run_continues_if_its_terminal_is_closed(work: Workspace) -> None:
    test_end, run_end = pty.openpty()
    command = [sys.executable, "-m", "prodml", "run", "pipeline.py"]
    process = subprocess.Popen(
        command, cwd=work.root, stdout=run_end, stderr=run_end, stdin=run_end
    )
    os.close(run_end)
    assert os.read(test_end, 1)
    os.close(test_end)
    assert process.wait(timeout=120) == 0
    assert work.states() == ["COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("reader", ["| head -1", "> /dev/full", ">&-", ">&- 2>&-", "2>&-"])
def test_a_run_succeeds_if_its_output_is_lost(work: Workspace, reader: str) -> None:
    code, output = work.shell(f"{PRODML} run pipeline.py {reader}")
    assert (code, work.states()) == (0, ["COMPLETE", "COMPLETE"]), output
    assert "Traceback" not in output


def test_the_exit_code_reports_a_failed_run_if_its_output_is_lost(work: Workspace) -> None:
    (work.root / "fail").touch()
    code, output = work.shell(f"{PRODML} run pipeline.py > /dev/full")
    assert (code, work.states()) == (1, ["COMPLETE", "FAILED"]), output
    assert "ValueError: on purpose" in output


def test_commands_succeed_without_a_standard_output(work: Workspace) -> None:
    work.shell(f"{PRODML} run pipeline.py")
    for command in ("runs", "runs --json", "plan pipeline.py", "logs latest First"):
        code, output = work.shell(f"{PRODML} {command} >&-")
        assert code == 0 and not output, output
