"""Nodes with limits run in a process of their own, and are really stopped."""

import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from processes import wait_until_gone

from prodml.compiler.compile import compile_pipeline
from prodml.dsl.user_code import load_module
from prodml.errors import RequestError, RunFailedError
from prodml.metadata.reading import LineageReader
from prodml.metadata.store import Store
from prodml.orchestration.limits import NodeLimits
from prodml.orchestration.results import NodeResult, NodeState, RunResult
from prodml.orchestration.retries import RetryPolicy
from prodml.orchestration.run import RunSettings, run_pipeline

PIPELINE = """
import os, signal, subprocess, sys, time
from prodml import Input, Output, Parameter, component, pipeline
from prodml.artifacts import Artifact

class Text(Artifact):
    type_name = "LimitedText"

@component
def Make(made: Output[Text]):
    open(os.path.join(made.uri, "text"), "w").write("made")
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
    open(os.path.join(made.uri, "text"), "w").write(what)
    made.custom_properties["words"] = 2

@pipeline(name="limited")
def limited(what: str):
    work = Work(source=Make().outputs["made"], what=what)
    Work(source=Make().with_id("other").outputs["made"], what="beside").with_id("beside")
"""


class Recording:
    def __init__(self) -> None:
        self.retried: list[str] = []

    def node_started(self, node_id: str, reason: str) -> None: ...

    def node_progress(self, node_id: str, done: int, total: int | None, unit: str) -> None: ...

    def node_retried(self, failed: NodeResult, wait_seconds: float) -> None:
        self.retried.append(failed.message)

    def node_finished(self, result: NodeResult) -> None: ...


class Workplace:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.observer = Recording()
        (root / "limited_pipeline.py").write_text(PIPELINE)

    def run(self, what: str, limits: Mapping[str, NodeLimits]) -> RunResult:
        settings = RunSettings(
            str(self.root / "metadata.db"),
            str(self.root / "artifacts"),
            str(self.root / "logs"),
            retry=RetryPolicy(wait_seconds=0.01),
            limits=limits,
        )
        module = load_module(str(self.root / "limited_pipeline.py"))
        spec = compile_pipeline(module.limited.build({"what": what}))
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


def test_what_a_node_makes_in_its_own_process_is_published_as_always(work: Workplace) -> None:
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
    node = work.failure("grow", NodeLimits(memory_bytes=400 << 20))
    assert "of memory, the limit nodes.Work.memory is 419 MB" in node.message
    assert not work.observer.retried


def test_a_node_whose_process_died_is_tried_again_elsewhere(work: Workplace) -> None:
    result = work.run("die", {"Work": NodeLimits(timeout_seconds=60)})
    assert [node.state for node in result.nodes] == [NodeState.COMPLETE] * 4
    (lost,) = work.observer.retried
    assert "its process was killed by SIGSEGV" in lost
    first, second = (e for e in work.reader.executions_of_run(result.run_id) if e.node_id == "Work")
    assert (first.properties["attempt"], second.properties["attempt"]) == (1, 2)
    attempts = work.root / "artifacts" / "limited" / "Work"
    assert [p.name for p in attempts.rglob("*") if p.parent.name == "made"] == [str(second.id)]


def test_a_lost_connection_is_tried_again_and_a_users_error_is_not(work: Workplace) -> None:
    work.run("lose", {"Work": NodeLimits(timeout_seconds=60)})
    assert len(work.observer.retried) == 1
    node = work.failure("raise", NodeLimits(timeout_seconds=60))
    assert "ValueError: told to fail" in node.message and "limited_pipeline.py" in node.message
    assert len(work.observer.retried) == 1


def test_limits_of_a_node_that_is_not_there_are_refused(work: Workplace) -> None:
    with pytest.raises(RequestError, match="limits for Wrok, but pipeline limited has no such"):
        work.run("well", {"Wrok": NodeLimits(timeout_seconds=1)})
