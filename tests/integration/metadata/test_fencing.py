"""A process that is suspended until its lease expires cannot record anything afterwards."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support import warm
from support.database_servers import PASSWORD_VARIABLE

from prodml.artifacts import Model
from prodml.errors import FencedError
from prodml.metadata.connection import (
    Connection,
    GrpcConnection,
    MySqlConnection,
    SqliteConnection,
)
from prodml.metadata.leases import LeaseTable
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import Attempt, ProcessRecord, RunState, State
from prodml.metadata.run_writing import RunWriter
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.publish import manifest

TESTS = Path(__file__).parents[2]

PIPELINE = """
import os
from pathlib import Path
from prodml import Input, Output, component, pipeline
from prodml.artifacts import Schema

def write(artifact):
    Path(artifact.uri, "text").write_text(str(os.getpid()))

@component
def First(made: Output[Schema]):
    write(made)

@component
def Second(source: Input[Schema], made: Output[Schema], other: Output[Schema]):
    write(made)
    write(other)

@component
def Third(source: Input[Schema], made: Output[Schema]):
    write(made)

@pipeline(name="fenced")
def fenced():
    Third(source=Second(source=First().outputs["made"]).outputs["made"])
"""


def at_once(*actions: Callable[[], object]) -> list[object]:
    """The result or the error of each action if all start at the same time."""
    start, given = threading.Barrier(len(actions)), {}

    def act(number: int) -> None:
        start.wait()
        try:
            given[number] = actions[number]()
        except FencedError as error:
            given[number] = error

    threads = [threading.Thread(target=act, args=(n,)) for n in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [given[number] for number in range(len(actions))]


def test_an_execution_ends_once_even_if_many_processes_end_it(connection: Connection) -> None:
    owner, *others = (LineageWriter(Store(connection)) for _ in range(3))
    reader = LineageReader(Store(connection))
    won = Counter[str]()
    for number in range(12):
        id = owner.begin_execution(Attempt("p", "run", f"node-{number}", "T"), {}, {})
        outputs = {"made": [Model(final_uri=f"/{number}")]}
        completed, *ended = at_once(
            lambda id=id, outputs=outputs: owner.complete_execution(id, {"n": 1}, outputs),
            *(lambda w=w, id=id: w.end_execution(id, State.FAILED, {"m": "x"}) for w in others),
        )
        (found,) = reader.executions([id])
        live = reader.artifacts(link.artifact_id for link in reader.links_of_executions([id]))
        if isinstance(completed, FencedError):
            assert found.state is State.FAILED and live == [] and set(ended) == {State.FAILED}
        else:
            assert found.state is State.COMPLETE and [a.state for a in live] == ["LIVE"]
            assert set(ended) == {State.COMPLETE}
        won[found.state] += 1
    assert sum(won.values()) == 12


def test_a_run_is_ended_once_and_resumed_by_the_newest_lease(connection: Connection) -> None:
    writers = [RunWriter(Store(connection)) for _ in range(3)]
    reader = LineageReader(Store(connection))
    for number in range(6):
        run = f"run-{number}"
        writers[0].begin_run("p", run, "{}", lease_id=1)
        states = (RunState.COMPLETE, RunState.FAILED, RunState.CANCELED)
        ended = at_once(
            *(
                lambda w=w, s=s, run=run: w.end_run(run, s, f"by {s}", 1)
                for w, s in zip(writers, states, strict=True)
            )
        )
        assert sorted(map(bool, ended)) == [False, False, True]
        (winner,) = [state for state, won in zip(states, ended, strict=True) if won]
        assert reader.run(run).state is winner
        resumed = at_once(
            *(
                lambda w=w, lease=lease, run=run: w.resume_run(run, lease)
                for w, lease in zip(writers, (2, 3, 4), strict=True)
            )
        )
        assert resumed[2] is None and reader.run(run).lease_id == 4
        assert not writers[1].end_run(run, RunState.FAILED, "stale", 3)
        assert reader.run(run).state is RunState.RUNNING


def test_nothing_starts_under_a_superseded_lease(
    connection: Connection,
) -> None:
    table = LeaseTable(Store(connection))
    first = table.acquire("p", 1, "run", ProcessRecord("here", "boot", 1, "a"))
    assert first is not None
    writer = LineageWriter(Store(connection), first)
    writer.begin_execution(Attempt("p", "run", "node", "T"), {}, {})
    assert table.acquire("p", 2, "other", ProcessRecord("there", "boot", 1, "b")) is not None
    with pytest.raises(FencedError, match="was taken over"):
        writer.begin_execution(Attempt("p", "run", "next", "T"), {}, {})
    with pytest.raises(FencedError, match="was taken over"):
        writer.record_existing(Attempt("p", "run", "next", "T"), State.CACHED, {}, {}, {})


def test_an_attempt_that_two_processes_began_completes_once(connection: Connection) -> None:
    reader = LineageReader(Store(connection))
    for number in range(6):
        attempt = Attempt("p", "run", f"node-{number}", "T")
        writers = [LineageWriter(Store(connection)) for _ in range(2)]
        ids = [writer.begin_execution(attempt, {}, {}) for writer in writers]
        ended = at_once(
            *(
                lambda w=w, id=id: w.complete_execution(
                    id, {}, {"made": [Model(final_uri=f"/{id}")]}
                )
                for w, id in zip(writers, ids, strict=True)
            )
        )
        refused = [isinstance(each, FencedError) for each in ended]
        assert sorted(refused) == [False, True]
        states = [reader.executions([id])[0].state for id in ids]
        assert states == [State.RUNNING if each else State.COMPLETE for each in refused]
        assert "another process completed attempt 1" in str(ended[refused.index(True)])


class Process:
    """Runs `prodml` in a shared directory with a separate temporary directory.

    So no process sees the lock of another one, as if each ran on its own machine.
    """

    def __init__(self, root: Path, name: str, stop_at: str, *arguments: str) -> None:
        self.points = root / f"{name}.points"
        (root / f"tmp-{name}").mkdir()
        command = [sys.executable, "-m", "faults.short_lease", self.points, stop_at, *arguments]
        self.process = warm.Popen(
            [*command, "--config", "config.yaml"],
            cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "TMPDIR": str(root / f"tmp-{name}"), "PYTHONPATH": str(TESTS)},
        )  # fmt: skip

    def wait_until_stopped(self) -> None:
        deadline = time.monotonic() + 120
        while (
            Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T"
        ):
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def end(self) -> str:
        output, _ = self.process.communicate(timeout=120)
        return output


def configured(connection: Connection) -> dict[str, object]:
    """The section of a configuration for a store."""
    if isinstance(connection, SqliteConnection):
        return {"sqlite": connection.path}
    described = dataclasses.asdict(connection)
    if isinstance(connection, GrpcConnection):
        return {"grpc": described}
    described["password"] = f"env:{PASSWORD_VARIABLE}"
    return {"mysql" if isinstance(connection, MySqlConnection) else "postgresql": described}


@pytest.mark.parametrize(
    "stop_at",
    [
        "after Second has executed",
        "before rename to Second/other/N",
        "before put_execution Second COMPLETE",
        "inside put_execution Second COMPLETE",
        "before put_execution Third RUNNING",
    ],
)
def test_a_run_that_is_suspended_until_its_lease_expires_is_taken_over_and_changes_nothing(
    tmp_path: Path, connection: Connection, stop_at: str
) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"metadata": configured(connection)}))
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    if isinstance(connection, SqliteConnection) and "put_execution" in stop_at:
        # A writer locks the SQLite file: a takeover cannot happen during a write, and waits for it.
        stop_at = "before sync fenced/Second/other"
    sleeper = Process(tmp_path, "sleeper", f"SIGSTOP {stop_at}", "run", "pipeline.py")
    try:
        sleeper.wait_until_stopped()
        heir = Process(tmp_path, "heir", "0", "run", "--resume", "--wait")
        heir_output = heir.end()
        assert heir.process.returncode == 0, heir_output
        os.kill(sleeper.process.pid, signal.SIGCONT)
        output = sleeper.end()
    finally:
        sleeper.process.kill()
    assert sleeper.process.returncode == 1, output
    assert "taken over" in output or "closed the run of execution" in output
    reader = LineageReader(Store(connection))
    (run,) = reader.runs(10)
    assert run.state is RunState.COMPLETE
    executions = reader.executions_of_run(run.run_id)
    complete = [e for e in executions if e.state is State.COMPLETE]
    assert sorted(e.node_id for e in complete) == ["First", "Second", "Third"]
    assert all(e.state is not State.RUNNING for e in executions)
    links = [
        link for link in reader.links_of_executions(e.id for e in executions) if link.is_output
    ]
    live = {a.uri for a in reader.artifacts(link.artifact_id for link in links)}
    assert len(live) == 4
    assert all(manifest.difference(uri) is None for uri in live)
    root = tmp_path / ".prodml/artifacts/fenced"
    assert {str(path) for path in root.glob("*/*/*")} == live
    assert list(root.glob("*/.staging-*")) == []
    pids = {json.loads((Path(uri) / "text").read_text()) for uri in live}
    assert sleeper.process.pid in pids and heir.process.pid in pids
