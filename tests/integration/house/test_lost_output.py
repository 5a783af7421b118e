"""A run goes on when nobody reads what it prints: a closed pipe, a full disk, no terminal."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

PIPELINE = """
import os
from prodml import Input, Output, component, pipeline
from prodml.artifacts import Schema

@component
def First(made: Output[Schema]):
    open(os.path.join(made.uri, "text"), "w").write("first")

@component
def Second(source: Input[Schema], made: Output[Schema]):
    if os.path.exists("fail"):
        raise ValueError("as told")

@pipeline(name="steps")
def steps():
    Second(source=First().outputs["made"])
"""
PRODML = f"{sys.executable} -m prodml"


class Workplace:
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
        _, said = self.shell(f"{PRODML} show latest --json")
        return [node["state"] for node in json.loads(said)["nodes"]]


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def test_a_run_goes_on_when_its_terminal_is_closed(work: Workplace) -> None:
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "prodml", "run", "pipeline.py"]
    process = subprocess.Popen(command, cwd=work.root, stdout=its, stderr=its, stdin=its)
    os.close(its)
    assert os.read(ours, 1)
    os.close(ours)
    assert process.wait(timeout=120) == 0
    assert work.states() == ["COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("reader", ["| head -1", "> /dev/full", ">&-", ">&- 2>&-", "2>&-"])
def test_a_run_ends_well_whoever_reads_its_output(work: Workplace, reader: str) -> None:
    code, said = work.shell(f"{PRODML} run pipeline.py {reader}")
    assert (code, work.states()) == (0, ["COMPLETE", "COMPLETE"]), said
    assert "Traceback" not in said


def test_a_run_that_fails_says_so_by_its_exit_code(work: Workplace) -> None:
    (work.root / "fail").touch()
    code, said = work.shell(f"{PRODML} run pipeline.py > /dev/full")
    assert (code, work.states()) == (1, ["COMPLETE", "FAILED"]), said
    assert "ValueError: as told" in said


def test_without_a_standard_output_commands_do_nothing_else(work: Workplace) -> None:
    work.shell(f"{PRODML} run pipeline.py")
    for command in ("runs", "runs --json", "plan pipeline.py", "logs latest First"):
        code, said = work.shell(f"{PRODML} {command} >&-")
        assert code == 0 and not said, said
