"""Nodes with limits run in a separate process, and are really stopped."""

import itertools
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.processes import wait_until_gone

from prodml.compiler.compile import compile_pipeline
from prodml.dsl.user_code import load_module
from prodml.errors import RequestError, RunFailedError
from prodml.metadata.reading import LineageReader
from prodml.metadata.store import Store
from prodml.orchestration.results import NodeResult, NodeState, RunResult
from prodml.orchestration.run import run_pipeline
from prodml.orchestration.settings import NodeLimits, RetryPolicy, RunSettings
from prodml.views.runs import show_run

PIPELINE = """
import os, signal, subprocess, sys, time
from pathlib import Path
from prodml import Input, Output, Parameter, component, pipeline
from prodml.artifacts import Artifact

class Text(Artifact):
    type_name = "LimitedText"

@component
def Make(made: Output[Text]):
    Path(made.uri, "text").write_text("made")
    made.custom_properties["words"] = 1

@component
def Work(source: Input[Text], made: Output[Text], what: Parameter[str]):
    print("pid", os.getpid(), "works:", what, flush=True)
    assert source.custom_properties["words"] == 1
    if what == "hang":
        # One child stays with its parent, one has gone to a session of its own.
        for session in (False, True):
            child = subprocess.Popen(["sleep", "600"], start_new_session=session)
            print("pid", child.pid, flush=True)
        time.sleep(600)
    if what == "grow":
        held = [bytearray(b"x") * (50 << 20) for _ in range(40)]
        time.sleep(600)
    if what == "die" and not os.path.exists("died"):
        open("died", "w").close()
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "raise":
        raise ValueError("told to fail")
    if what == "lose" and not os.path.exists("lost"):
        open("lost", "w").close()
        raise ConnectionError("the peer is gone")
    Path(made.uri, "text").write_text(what)
    made.custom_properties["words"] = 2

@pipeline(name="limited")
def limited(what: str):
    work = Work(source=Make().outputs["made"], what=what)
    Work(source=Make().with_id("other").outputs["made"], what="beside").with_id("beside")
"""


COUNT_COMPONENT = """
from prodml import Component, Output, Parameter
from prodml.artifacts import Artifact

class Counts(Artifact):
    type_name = "LimitedCounts"

class Count(Component):
    ending: Parameter[str]
    made: Output[Counts]
"""
COUNT_EXECUTOR = """
import os, subprocess

def execute(context):
    for number in range(1, 501):
        context.progress(number, 500, "rows")
    context.note("all were counted")
    context.reconcile("train", 500, 498, {"no label": 2})
    if context.parameters["ending"] == "raise":
        held = bytearray(b"x") * (300 << 20)
        raise ValueError("told to fail")
    if context.parameters["ending"] == "leave a child":
        # It holds all that its parent inherited.
        subprocess.Popen(["sleep", "600"], close_fds=False, start_new_session=True)
"""
COUNTING = """
from component import Count
from prodml import pipeline

@pipeline(name="counting")
def counting(ending: str):
    Count(ending=ending)
"""


class Recording:
    def __init__(self) -> None:
        self.retried: list[str] = []
        self.reported: list[tuple[str, object]] = []

    def node_started(self, node_id: str, reason: str) -> None: ...

    def node_progress(self, node_id: str, done: int, total: int | None, unit: str) -> None:
        time.sleep(0.001)  # A terminal that is slower than the node.
        self.reported.append((node_id, done))

    def node_retried(self, failed: NodeResult, wait_seconds: float) -> None:
        self.retried.append(failed.message)

    def node_finished(self, result: NodeResult) -> None:
        self.reported.append((result.node_id, str(result.state)))


class Workplace:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.observer = Recording()
        (root / "limited_pipeline.py").write_text(PIPELINE)

    def settings(self, limits: Mapping[str, NodeLimits]) -> RunSettings:
        return RunSettings(
            str(self.root / "metadata.db"),
            str(self.root / "artifacts"),
            str(self.root / "logs"),
            retry=RetryPolicy(wait_seconds=0.01),
            limits=limits,
        )

    def run(self, what: str, limits: Mapping[str, NodeLimits]) -> RunResult:
        settings = self.settings(limits)
        module = load_module(str(self.root / "limited_pipeline.py"))
        spec = compile_pipeline(module.limited.build({"what": what}))
        return run_pipeline(spec, settings, self.observer)

    def count(self, ending: str, limits: Mapping[str, NodeLimits]) -> RunResult:
        package = self.root / "counting"
        package.mkdir()
        for name, text in (
            ("component.py", COUNT_COMPONENT),
            ("executor.py", COUNT_EXECUTOR),
            ("pipeline.py", COUNTING),
        ):
            (package / name).write_text(text)
        settings = self.settings(limits)
        module = load_module(str(package / "pipeline.py"))
        spec = compile_pipeline(module.counting.build({"ending": ending}))
        return run_pipeline(spec, settings, self.observer)

    def failure(self, what: str, limits: NodeLimits) -> NodeResult:
        with pytest.raises(RunFailedError) as caught:
            self.run(what, {"Work": limits})
        result: Any = caught.value.result
        return next(node for node in result.nodes if node.node_id == "Work")

    @property
    def reader(self) -> LineageReader:
        return LineageReader(Store(str(self.root / "metadata.db")))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    monkeypatch.chdir(tmp_path)
    return Workplace(tmp_path)


def test_a_process_that_cannot_start_leaves_no_pipe_open(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pipes()
    # Linux starts no process with a variable that is this long.
    monkeypatch.setenv("LONG", "x" * (1 << 20))
    assert "Argument list too long" in work.failure("talk", NodeLimits(60, None)).message
    assert pipes() == before


def pipes() -> int:
    """The number of pipes that this process has open."""
    links = [os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return sum(link.startswith("pipe:") for link in links)


def test_outputs_of_a_node_in_a_separate_process_are_published_as_always(work: Workplace) -> None:
    result = work.run("well", {"Work": NodeLimits(60, 1 << 30)})
    node = next(n for n in result.nodes if n.node_id == "Work")
    (made,) = work.reader.artifacts(node.outputs["made"])
    assert made.custom_properties["words"] == 2
    assert Path(made.uri, "text").read_text() == "well"
    assert "works: well" in Path(node.log).read_text()
    assert f"pid {os.getpid()} " not in Path(node.log).read_text()
    assert 0 < node.peak_memory < 1 << 30


def test_a_node_that_takes_too_long_is_stopped_with_all_its_children(work: Workplace) -> None:
    node = work.failure("hang", NodeLimits(timeout_seconds=3))
    assert "stopped after 3 s, the limit nodes.Work.timeout_seconds" in node.message
    said = Path(node.log).read_text().split()
    pids = [int(after) for word, after in itertools.pairwise(said) if word == "pid"]
    assert len(pids) == 3
    wait_until_gone(pids)
    assert not work.observer.retried


def test_a_node_that_takes_too_much_memory_is_stopped(work: Workplace) -> None:
    node = work.failure("grow", NodeLimits(memory=400 << 20))
    assert "of memory, the limit nodes.Work.memory is 419 MB" in node.message
    assert not work.observer.retried


def test_a_node_whose_process_died_is_retried_in_another_process(work: Workplace) -> None:
    result = work.run("die", {"Work": NodeLimits(timeout_seconds=60)})
    assert [node.state for node in result.nodes] == [NodeState.COMPLETE] * 4
    (lost,) = work.observer.retried
    assert "its process was killed by SIGSEGV" in lost
    first, second = (e for e in work.reader.executions_of_run(result.run_id) if e.node_id == "Work")
    assert (first.properties["attempt"], second.properties["attempt"]) == (1, 2)
    attempts = work.root / "artifacts" / "limited" / "Work"
    assert [p.name for p in attempts.rglob("*") if p.parent.name == "made"] == [str(second.id)]


def test_a_lost_connection_is_retried_and_a_users_error_is_not(work: Workplace) -> None:
    work.run("lose", {"Work": NodeLimits(timeout_seconds=60)})
    assert len(work.observer.retried) == 1
    node = work.failure("raise", NodeLimits(timeout_seconds=60))
    assert "ValueError: told to fail" in node.message and "limited_pipeline.py" in node.message
    assert len(work.observer.retried) == 1


def test_limits_of_an_unknown_node_are_rejected(work: Workplace) -> None:
    with pytest.raises(RequestError, match="limits for Wrok, but pipeline limited has no such"):
        work.run("well", {"Wrok": NodeLimits(timeout_seconds=1)})


OWN_PROCESS = {"Count": NodeLimits(timeout_seconds=60)}


@pytest.mark.parametrize("ending", ["well", "leave a child"])
def test_all_progress_of_a_node_with_limits_is_shown_before_its_end(
    work: Workplace, ending: str
) -> None:
    work.count(ending, OWN_PROCESS)
    progress = [("Count", number) for number in range(1, 501)]
    assert work.observer.reported == [*progress, ("Count", "complete")]


@pytest.mark.parametrize("limits", [{}, OWN_PROCESS], ids=["same process", "own process"])
def test_reports_of_a_node_before_its_failure_are_kept(
    work: Workplace, limits: Mapping[str, NodeLimits]
) -> None:
    with pytest.raises(RunFailedError) as caught:
        work.count("raise", limits)
    result: Any = caught.value.result
    (node,) = result.nodes
    assert node.notes == ("all were counted",)
    assert [(count.written, count.dropped) for count in node.row_counts] == [(498, {"no label": 2})]
    assert node.peak_memory > 300 << 20
    (shown,) = show_run(work.reader, result.run_id).nodes
    assert shown.notes == ["all were counted"]
    assert shown.row_counts[0]["dropped"] == {"no label": 2}
    assert shown.peak_memory == node.peak_memory
