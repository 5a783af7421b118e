"""Thread-safe nodes run concurrently with others; proved by two that wait for each other."""

import json
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest
from support import warm

from prodml.compiler.compile import compile_pipeline
from prodml.dsl.user_code import load_module
from prodml.errors import RunFailedError
from prodml.orchestration.results import NodeResult, NodeState, RunResult
from prodml.orchestration.run import run_pipeline
from prodml.orchestration.settings import RunSettings

PIPELINE = """
import meeting_place
from prodml import Input, Output, Parameter, component, pipeline
from prodml.artifacts import Schema

@component
def Start(made: Output[Schema]):
    pass

@component
def Meet(given: Input[Schema], made: Output[Schema], fails: Parameter[bool] = False):
    print("alone met at", meeting_place.BARRIER.wait(30) >= 0)

@component
def MeetBeside(given: Input[Schema], made: Output[Schema], fails: Parameter[bool] = False):
    meeting_place.BARRIER.wait(30)
    print("beside it")
    if fails:
        raise ValueError("told to fail")

MeetBeside.is_thread_safe = True

@component
def After(given: Input[Schema], made: Output[Schema]):
    pass

@pipeline(name="meeting")
def meeting(fails: bool = False):
    start = Start().outputs["made"]
    alone = Meet(given=start)
    beside = MeetBeside(given=start, fails=fails)
    After(given=beside.outputs["made"]).with_id("AfterBeside")
    After(given=alone.outputs["made"]).with_id("AfterAlone")
"""


class Told:
    def __init__(self) -> None:
        self.started: list[str] = []

    def node_started(self, node_id: str, reason: str) -> None:
        self.started.append(node_id)

    def node_progress(self, node_id: str, done: int, total: int | None, unit: str) -> None: ...

    def node_finished(self, result: NodeResult) -> None: ...


def run(root: Path, monkeypatch: pytest.MonkeyPatch, **parameters: object) -> RunResult:
    place = types.ModuleType("meeting_place")
    place.BARRIER = threading.Barrier(2)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "meeting_place", place)
    (root / "pipeline_file.py").write_text(PIPELINE)
    definition = load_module(str(root / "pipeline_file.py")).meeting
    settings = RunSettings(str(root / "metadata.db"), str(root / "artifacts"), str(root / "logs"))
    return run_pipeline(compile_pipeline(definition.build(parameters)), settings, Told())


def states(result: RunResult) -> dict[str, NodeState]:
    return {node.node_id: node.state for node in result.nodes}


def test_two_branches_run_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(tmp_path, monkeypatch)
    assert set(states(result).values()) == {NodeState.COMPLETE}
    order = ["Start", "Meet", "MeetBeside", "AfterBeside", "AfterAlone"]
    assert [node.node_id for node in result.nodes] == order


def test_each_has_its_own_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(tmp_path, monkeypatch)
    logs = {node.node_id: Path(node.log).read_text() for node in result.nodes if node.log}
    assert logs["Meet"] == "alone met at True\n"
    assert logs["MeetBeside"] == "beside it\n"


def test_a_failure_in_a_concurrent_node_stops_only_its_branch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunFailedError, match="told to fail") as failed:
        run(tmp_path, monkeypatch, fails=True)
    assert isinstance(failed.value.result, RunResult)
    assert states(failed.value.result) == {
        "Start": NodeState.COMPLETE,
        "Meet": NodeState.COMPLETE,
        "MeetBeside": NodeState.FAILED,
        "AfterBeside": NodeState.SKIPPED,
        "AfterAlone": NodeState.COMPLETE,
    }, [node.message for node in failed.value.result.nodes]


WAITING = """
import threading
from pathlib import Path
from prodml import Output, component, pipeline
from prodml.artifacts import Schema

both = threading.Barrier(2)

def wait(made):
    Path(made.uri, "half").write_text("half")
    both.wait(30)
    open("started", "w").close()
    while True:
        threading.Event().wait(0.01)

@component
def Wait(made: Output[Schema]):
    wait(made)

@component
def WaitBeside(made: Output[Schema]):
    wait(made)

WaitBeside.is_thread_safe = True

@pipeline(name="waiting")
def waiting():
    Wait()
    WaitBeside()
"""


def test_a_signal_ends_concurrent_nodes_too(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text(WAITING)
    command = [sys.executable, "-m", "prodml"]
    with warm.Popen(
        [*command, "run", "pipeline.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        while not (tmp_path / "started").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 130, said
    shown = warm.run(
        [*command, "show", "latest", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    nodes = json.loads(shown.stdout)["nodes"]
    assert sorted((n["node_id"], n["state"]) for n in nodes) == [
        ("Wait", "CANCELED"),
        ("WaitBeside", "CANCELED"),
    ]
    assert [p for p in (tmp_path / ".prodml" / "artifacts").rglob("*/*") if p.is_file()] == []
