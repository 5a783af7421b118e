"""Commands and nodes close what they open: in Python's development mode, nothing warns."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

PIPELINE = """
from pathlib import Path
from prodml import Input, Output, component, pipeline
from prodml.artifacts import Model, ModelBlessing

@component
def Train(model: Output[Model]):
    Path(model.uri, "weights").write_text("1")

@component
def Bless(model: Input[Model], blessing: Output[ModelBlessing]):
    Path(model.uri, "weights").read_text()

Bless.is_thread_safe = True

@component
def Fail(model: Input[Model]):
    raise ValueError("on purpose")

@pipeline(name="models")
def models(fails: bool = False):
    model = Train().outputs["model"]
    Bless(model=model)
    Bless(model=model).with_id("Limited")
    if fails:
        Fail(model=model)
"""
CONFIG = """
nodes:
  Limited: {timeout_seconds: 300}
"""
WARNINGS = ("ResourceWarning", "Exception ignored in", "never awaited")


class Workspace:
    """A directory with a pipeline, and the command line in development mode."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "pipeline.py").write_text(PIPELINE)
        (root / "config.yaml").write_text(CONFIG)

    def warnings(self, arguments: Sequence[str], code: int = 0) -> list[str]:
        """Runs a command, and returns the warnings that it printed."""
        ran = subprocess.run(
            [sys.executable, "-m", "prodml", *arguments, "--config", "config.yaml"],
            cwd=self.root,
            # A variable, so that it holds for the processes of the nodes, too.
            env={**os.environ, "PYTHONDEVMODE": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ran.returncode == code, ran.stderr
        return _warnings(ran.stderr)

    def logged_warnings(self) -> list[str]:
        """The warnings in the logs of nodes."""
        logs = list(self.root.glob(".prodml/logs/*/*.log"))
        assert logs
        return [warning for log in logs for warning in _warnings(log.read_text())]


def _warnings(output: str) -> list[str]:
    lines = output.splitlines()
    # Python prints an ignored exception after the line that introduces it.
    return [
        "\n".join(lines[number : number + 8])
        for number, line in enumerate(lines)
        if any(warning in line for warning in WARNINGS)
    ]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    work = Workspace(tmp_path_factory.mktemp("work"))
    assert work.warnings(["run", "pipeline.py"]) == []
    return work


def test_nodes_leave_nothing_open_in_this_process_in_threads_and_in_their_own(
    work: Workspace,
) -> None:
    assert work.logged_warnings() == []


def test_a_failed_run_leaves_nothing_open(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    assert work.warnings(["run", "pipeline.py", "--param", "fails=true"], code=1) == []
    assert work.logged_warnings() == []


@pytest.mark.parametrize(
    "command",
    [
        "plan pipeline.py", "runs", "show latest", "logs latest", "logs latest Limited",
        "artifacts", "lineage 1", "gc --keep-last 1",
    ],
)  # fmt: skip
def test_a_command_leaves_nothing_open(work: Workspace, command: str) -> None:
    assert work.warnings(command.split()) == []
