"""Retries, `--resume`, one run a pipeline at a time, and cancellation, by the command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support import warm

from prodml.errors import ArtifactError
from prodml.metadata.leases import LeaseTable
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import LeaseRecord, ProcessRecord
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.launch.attempts import refuse_damaged
from prodml.orchestration.ownership.liveness import SILENCE_SECONDS, is_held
from prodml.orchestration.resolve.inputs import to_artifact

PIPELINE = """
import contextlib, errno, hashlib, os, time
from pathlib import Path
from prodml import Input, Output, Parameter, component, pipeline
from prodml.artifacts import Schema

def write(artifact, text):
    Path(artifact.uri, "text").write_text(text)

def be_stuck():
    # In C, for minutes: no handler of Python's is called meanwhile.
    hashlib.pbkdf2_hmac("sha256", b"", b"", 500_000_000)

@component
def First(made: Output[Schema]):
    write(made, "first")

@component
def Second(source: Input[Schema], made: Output[Schema]):
    write(made, "half")
    if os.path.exists("fail"):
        kind = Path("fail").read_text().split()
        left = int(kind[1]) - 1
        if left:
            Path("fail").write_text(f"{kind[0]} {left}")
        else:
            os.remove("fail")
        if kind[0] == "EIO":
            raise OSError(errno.EIO, "input/output error")
        raise {"ConnectionError": ConnectionError, "ValueError": ValueError}[kind[0]]("as told")
    if os.path.exists("stuck"):
        # A signal that arrives before the first call interrupts Python; the second call is stuck.
        with contextlib.suppress(KeyboardInterrupt):
            open("working", "w").close()
            be_stuck()
        be_stuck()
    open("working", "w").close()
    while os.path.exists("hold"):
        time.sleep(0.01)
    write(made, "second")

@component
def Third(source: Input[Schema], made: Output[Schema]):
    write(made, "third")

@pipeline(name="NAME")
def steps(number: int = 1):
    second = Second(source=First().outputs["made"])
    Third(source=second.outputs["made"])
"""

FINDER = """
import os
from prodml import Channel, Input, Output, component, pipeline
from prodml.artifacts import Model, Schema
from prodml.components import LatestArtifactStrategy, Resolver

@component
def Make(schema: Output[Schema], model: Output[Model]):
    pass

@component
def Use(schema: Input[Schema] | None, model: Input[Model] | None):
    if os.path.exists("fail"):
        raise ValueError("as told")
    print("uses", schema, model)

@pipeline(name="finder")
def finder():
    found = Resolver(
        strategy_class=LatestArtifactStrategy,
        schema=Channel(type=Schema),
        model=Channel(type=Model),
    )
    used = Use(schema=found.outputs["schema"], model=found.outputs["model"])
    Make().without_cache().add_upstream_node(used)
"""


class Workplace:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.file("pipeline.py", PIPELINE.replace("NAME", "steps"))
        self.file("config.yaml", "retry: {wait_seconds: 0.01}\ngrace_seconds: 1\n")

    def file(self, name: str, text: str = "") -> None:
        (self.root / name).write_text(text)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return warm.Popen(
            [sys.executable, "-m", "prodml", *arguments, "--config", "config.yaml"],
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def prodml(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == code, said
        return said

    def start_and_hold(self, *arguments: str) -> subprocess.Popen[str]:
        """A run that stands still in its second node."""
        self.file("hold")
        return self.start_until_it_works(*(arguments or ("run", "pipeline.py")))

    def start_until_it_works(self, *arguments: str) -> subprocess.Popen[str]:
        process = self.start(*arguments)
        while not (self.root / "working").exists():
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.005)
        (self.root / "working").unlink()
        return process

    def release(self) -> None:
        (self.root / "hold").unlink()

    def shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.prodml("show", "latest", "--json"))
        return shown

    def attempts(self, node_id: str) -> list[str]:
        return [n["state"] for n in self.shown()["nodes"] if n["node_id"] == node_id]

    def published(self, node_id: str) -> list[Path]:
        return sorted((self.root / ".prodml/artifacts/steps" / node_id / "made").iterdir())

    @property
    def store(self) -> str:
        return str(self.root / ".prodml" / "metadata.db")

    @property
    def leases(self) -> LeaseTable:
        return LeaseTable(Store(self.store))


def exit_code(process: subprocess.Popen[str]) -> int:
    """Waits until a process has ended, and closes its pipe."""
    process.communicate(timeout=60)
    return process.returncode


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


@pytest.mark.parametrize("kind", ["ConnectionError", "EIO"])
def test_what_may_pass_is_tried_again_and_only_the_last_attempt_is_seen(
    work: Workplace, kind: str
) -> None:
    work.file("fail", f"{kind} 2")
    said = work.prodml("run", "pipeline.py")
    assert "attempt 2 follows in" in said and "attempt 3 follows in" in said
    assert work.attempts("Second") == ["FAILED", "FAILED", "COMPLETE"]
    (only,) = work.published("Second")
    assert (only / "text").read_text() == "second"
    assert only.name == str(work.shown()["nodes"][-2]["execution_id"])
    log = Path(work.root, work.shown()["nodes"][-2]["log"]).read_text()
    assert log.count("Traceback") + log.count("as told") + log.count("input/output") >= 2
    assert "--- attempt 3" in log


def test_it_is_tried_three_times_by_default(work: Workplace) -> None:
    work.file("fail", "ConnectionError 9")
    work.prodml("run", "pipeline.py", code=1)
    assert work.attempts("Second") == ["FAILED"] * 3


def test_what_is_wrong_with_the_code_is_not_tried_again(work: Workplace) -> None:
    work.file("fail", "ValueError 1")
    said = work.prodml("run", "pipeline.py", code=1)
    assert "attempt" not in said and "its output is in .prodml/logs/" in said
    assert work.attempts("Second") == ["FAILED"]


def test_a_run_goes_on_after_its_code_was_mended(work: Workplace) -> None:
    work.file("fail", "ValueError 1")
    work.prodml("run", "pipeline.py", "--param", "number=7", code=1)
    work.file("pipeline.py", PIPELINE.replace("NAME", "steps").replace('"second"', '"mended"'))
    said = work.prodml("run", "--resume")
    assert "First complete" in said and "completed before the run was resumed" in said
    assert work.shown()["run"]["parameters"] == {"number": 7}
    assert work.attempts("First") == ["COMPLETE"]
    assert (work.published("Second")[0] / "text").read_text() == "mended"


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_finished_node_whose_artifact_was_damaged_runs_again(
    work: Workplace, damage: str
) -> None:
    work.file("fail", "ValueError 1")
    work.prodml("run", "pipeline.py", code=1)
    (damaged,) = work.published("First")
    if damage == "gone":
        shutil.rmtree(damaged)
    else:
        (damaged / "text").write_text("forged")
    work.prodml("run", "--resume")
    assert work.attempts("First") == ["COMPLETE", "COMPLETE"]
    artifacts = {a["id"]: a for a in json.loads(work.prodml("artifacts", "--json"))}
    states = [a["state"] for a in artifacts.values() if a["producer"] == "First"]
    assert sorted(states) == ["DELETED", "LIVE"]


def test_what_a_resolver_found_is_looked_for_again_where_some_of_it_was_deleted(
    work: Workplace,
) -> None:
    work.file("finder.py", FINDER)
    work.prodml("run", "finder.py")
    work.prodml("run", "finder.py")
    work.file("fail")
    work.prodml("run", "finder.py", "--no-cache", code=1)
    (work.root / "fail").unlink()
    store = Store(work.store)
    schema = next(LineageReader(store).newest_artifacts("finder", "Schema"))
    LineageWriter(store).mark_deleted([schema.id], "by hand")
    work.prodml("run", "--resume")
    assert work.attempts("Resolver") == ["COMPLETE", "COMPLETE"]
    left = {a.id: a.state for a in LineageReader(store).list_artifacts(100)}
    assert [id for id, state in left.items() if state == "DELETED"] == [schema.id]


def test_an_input_that_was_damaged_is_refused_and_its_producer_named(work: Workplace) -> None:
    work.prodml("run", "pipeline.py")
    found = LineageReader(Store(work.store)).newest_artifacts("steps", "Schema")
    artifact = next(to_artifact(record) for record in found)
    refuse_damaged("source", [artifact])
    Path(artifact.uri, "text").write_text("forged")
    with pytest.raises(ArtifactError, match=r"input 'source' .* Third published: .*text was chang"):
        refuse_damaged("source", [artifact])
    shutil.rmtree(artifact.uri)
    with pytest.raises(ArtifactError, match=r"Third published: .* is gone; run the pipeline again"):
        refuse_damaged("source", [artifact])


def test_what_cannot_be_resumed_is_refused(work: Workplace) -> None:
    assert "no metadata store" in work.prodml("run", "--resume", code=2)
    work.prodml("run", "pipeline.py")
    complete = work.shown()["run"]["run_id"]
    assert "is complete; there is nothing to resume" in work.prodml("run", "--resume", code=2)
    assert "is complete" in work.prodml("run", "--resume", complete, code=2)
    assert "run 'nope' does not exist" in work.prodml("run", "--resume", "nope", code=2)
    work.file("fail", "ValueError 1")
    work.prodml("run", "pipeline.py", "--no-cache", code=1)
    said = work.prodml("run", "--resume", "--param", "number=2", code=2)
    assert "keeps its parameters" in said
    work.file("other.py", PIPELINE.replace("NAME", "other"))
    assert "is of pipeline steps" in work.prodml("run", "other.py", "--resume", code=2)
    assert "name the pipeline" in work.prodml("run", code=2)


def test_a_pipeline_that_runs_is_not_run_again_but_waited_for(work: Workplace) -> None:
    running = work.start_and_hold()
    refused = work.prodml("run", "pipeline.py", code=2)
    assert f"is active in process {running.pid}" in refused and "--wait" in refused
    assert "RUNNING" in work.prodml("runs")
    waiting = work.start("run", "pipeline.py", "--wait")
    with waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline().startswith("waiting for run ")
        work.release()
        assert exit_code(running) == 0
        assert "3 cached" in waiting.stdout.read() and waiting.wait(60) == 0


def test_a_run_that_was_killed_holds_nothing_up(work: Workplace) -> None:
    running = work.start_and_hold()
    running.kill()
    assert exit_code(running) == -signal.SIGKILL
    work.release()
    assert "RUNNING" not in work.prodml("runs")
    assert "3 complete" in work.prodml("run", "--resume")


def test_two_pipelines_run_at_once(work: Workplace) -> None:
    work.file("other.py", PIPELINE.replace("NAME", "other"))
    both = [work.start_and_hold("run", name) for name in ("pipeline.py", "other.py")]
    work.release()
    assert [exit_code(process) for process in both] == [0, 0]
    assert work.prodml("runs").count("COMPLETE") == 2


def test_of_runs_started_at_the_same_moment_one_runs(work: Workplace) -> None:
    work.file("hold")
    several = [work.start("run", "pipeline.py") for _ in range(8)]
    deadline = time.monotonic() + 60
    while sum(process.poll() is not None for process in several) < len(several) - 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    work.release()
    assert sorted(exit_code(process) for process in several) == [0, *[2] * 7]
    assert work.prodml("runs").count("COMPLETE") == 1


def test_a_holder_on_another_machine_is_dead_when_it_is_silent() -> None:
    elsewhere = ProcessRecord("elsewhere", "another-boot/1", 1, "token")
    now = int(time.time() * 1000)
    lease = LeaseRecord(1, "p", 1, "run", elsewhere, now, 0)
    assert is_held(lease)
    silent = LeaseRecord(1, "p", 1, "run", elsewhere, now - int(SILENCE_SECONDS * 1000) - 1, 0)
    assert not is_held(silent)
    given_back = LeaseRecord(1, "p", 1, "run", elsewhere, now, now)
    assert not is_held(given_back)


def test_a_lease_held_elsewhere_is_honoured_until_it_is_silent(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.prodml("run", "pipeline.py")
    newest = work.leases.newest("steps")
    assert newest is not None
    elsewhere = ProcessRecord("elsewhere", "another-boot/1", 4711, "token")
    theirs = work.leases.acquire("steps", newest.number + 1, "theirs", elsewhere)
    assert theirs is not None
    assert "process 4711 on elsewhere" in work.prodml("run", "pipeline.py", code=2)
    then = time.time() - SILENCE_SECONDS - 1
    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: then)
        work.leases.record_heartbeat(theirs)
    assert "3 cached" in work.prodml("run", "pipeline.py")


def test_a_run_that_does_not_end_within_its_grace_period_is_ended(work: Workplace) -> None:
    work.file("stuck")
    process = work.start_until_it_works("run", "pipeline.py")
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "did not end within 1 s after the signal" in said
    assert work.shown()["run"]["state"] == "CANCELED"
    (work.root / "stuck").unlink()
    assert "3 complete" in work.prodml("run", "--resume")
    assert os.listdir(work.root / ".prodml/artifacts/steps/Second") == ["made"]


def test_a_second_signal_ends_at_once_and_the_run_is_resumed(work: Workplace) -> None:
    work.file("stuck")
    process = work.start_until_it_works("run", "pipeline.py")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 130 and "killed by a second signal" in said
    (work.root / "stuck").unlink()
    assert "RUNNING" not in work.prodml("runs")
    assert "3 complete" in work.prodml("run", "--resume")
