"""ML Metadata on real PostgreSQL and MariaDB servers."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import warm
from support.database_servers import PASSWORD, PASSWORD_VARIABLE, DatabaseServer
from support.many_writers import write_with_many_processes

from prodml.errors import MetadataError, MetadataUnavailableError
from prodml.metadata.connection import SqliteConnection
from prodml.metadata.leases import LeaseTable
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import Attempt, State
from prodml.metadata.run_writing import RunWriter
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.ownership.liveness import new_holder

PIPELINE = """
import os, time
from pathlib import Path
from prodml import Channel, Input, Output, component, pipeline
from prodml.artifacts import Schema
from prodml.components import LatestArtifactStrategy, Resolver

@component
def Make(made: Output[Schema]):
    Path(made.uri, "text").write_text("made")

@component
def Wait(source: Input[Schema], made: Output[Schema]):
    open("waiting", "w").close()
    while os.path.exists("hold"):
        time.sleep(0.01)
    Path(made.uri, "text").write_text("waited")

@pipeline(name="on_a_server")
def on_a_server():
    Resolver(strategy_class=LatestArtifactStrategy, found=Channel(type=Schema))
    Wait(source=Make().outputs["made"])
"""


class Workplace:
    """A directory with a pipeline, and a configuration that names a server."""

    def __init__(self, root: Path, server: DatabaseServer, retry_seconds: float) -> None:
        self.root = root
        self.connection: Any = server.connection(server.new_database())  # type: ignore[attr-defined]
        kind = "mysql" if "mysql" in str(self.connection) else "postgresql"
        described = {**dataclasses.asdict(self.connection), "password": f"env:{PASSWORD_VARIABLE}"}
        metadata = {kind: described, "retry_seconds": retry_seconds}
        (root / "pipeline.py").write_text(PIPELINE)
        (root / "config.yaml").write_text(yaml.safe_dump({"metadata": metadata}))

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
        output, _ = process.communicate(timeout=120)
        assert process.returncode == code, output
        return output

    def run_until_it_waits(self) -> subprocess.Popen[str]:
        (self.root / "hold").touch()
        process = self.start("run", "pipeline.py")
        while not (self.root / "waiting").exists():
            assert process.poll() is None, process.communicate()
        return process

    def release(self) -> None:
        (self.root / "hold").unlink()


def test_a_run_is_recorded_cached_and_shown(tmp_path: Path, server: DatabaseServer) -> None:
    work = Workplace(tmp_path, server, retry_seconds=20)
    assert "no runs in" in work.prodml("runs")
    assert "3 complete" in work.prodml("run", "pipeline.py")
    second = work.prodml("run", "pipeline.py")
    assert "1 complete, 2 cached" in second
    shown = work.prodml("runs")
    assert shown.count("COMPLETE") == 2
    assert "Wait.made" not in work.prodml("plan", "pipeline.py")
    for output in (shown, second, work.prodml("show", "latest", "--json")):
        assert PASSWORD not in output


def test_a_run_waits_for_its_database_and_continues(tmp_path: Path, server: DatabaseServer) -> None:
    work = Workplace(tmp_path, server, retry_seconds=60)
    process = work.run_until_it_waits()
    server.stop()
    work.release()
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if "does not respond; retrying for" in line:
                break
        server.start()
        output = process.stdout.read()
    assert process.returncode == 0, output
    assert "3 complete" in output
    assert work.prodml("runs").count("COMPLETE") == 1


def test_a_run_whose_database_stays_unreachable_fails_cleanly_and_is_resumed(
    tmp_path: Path, server: DatabaseServer
) -> None:
    work = Workplace(tmp_path, server, retry_seconds=1)
    process = work.run_until_it_waits()
    server.kill()
    work.release()
    output, _ = process.communicate(timeout=60)
    server.start()
    assert process.returncode == 1
    assert "did not respond within 1 s" in output and "prodml run --resume" in output
    assert "Traceback" not in output
    assert "RUNNING" not in work.prodml("runs")
    resumed = work.prodml("run", "--resume")
    assert "Make complete" in resumed and "completed before the run was resumed" in resumed
    assert "3 complete" in resumed
    artifacts = LineageReader(Store(work.connection)).list_artifacts(10)
    assert sorted(str(a.custom_properties["producer_component"]) for a in artifacts) == [
        "Make", "Wait",
    ]  # fmt: skip
    assert all(Path(a.uri, "text").exists() for a in artifacts)


def test_a_run_that_was_killed_is_resumed(tmp_path: Path, server: DatabaseServer) -> None:
    work = Workplace(tmp_path, server, retry_seconds=20)
    process = work.run_until_it_waits()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    work.release()
    assert "FAILED" in work.prodml("runs")
    assert "3 complete" in work.prodml("run", "--resume")


def test_many_processes_write_at_once_and_nothing_is_lost(
    tmp_path: Path, server: DatabaseServer
) -> None:
    connection = server.connection(server.new_database())  # type: ignore[attr-defined]
    write_with_many_processes(connection)


def test_many_processes_write_at_once_to_a_file_and_nothing_is_lost(tmp_path: Path) -> None:
    write_with_many_processes(SqliteConnection(str(tmp_path / "metadata.db")))


def test_one_of_many_processes_acquires_a_lease(server: DatabaseServer) -> None:
    connection = server.connection(server.new_database())  # type: ignore[attr-defined]
    tables = [LeaseTable(Store(connection)) for _ in range(8)]
    tables[0].newest("p")
    taken: list[object] = []
    start = threading.Barrier(len(tables))

    def take(number: int) -> None:
        start.wait()
        taken.append(tables[number].acquire("p", 1, f"run-{number}", new_holder()))

    threads = [threading.Thread(target=take, args=(n,)) for n in range(len(tables))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 8 and sum(lease is not None for lease in taken) == 1


def test_an_unreachable_server_differs_from_one_that_rejects_the_login(
    server: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = server.connection(server.new_database())  # type: ignore[attr-defined]
    with pytest.raises(MetadataUnavailableError, match="did not respond within 0 s"):
        Store(dataclasses.replace(right, port=1), retry_seconds=0.2)
    with pytest.raises(MetadataError, match="nowhere.*check") as unknown:
        Store(dataclasses.replace(right, database="nowhere"), retry_seconds=30)
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong-canary")
    with pytest.raises(MetadataError, match="check user, password and database") as refused:
        Store(right, retry_seconds=30)
    for error in (unknown, refused):
        assert not isinstance(error.value, MetadataUnavailableError)
        assert "canary" not in str(error.value) and PASSWORD not in str(error.value)


def test_texts_of_any_length_and_script_are_stored(server: DatabaseServer) -> None:
    store = Store(server.connection(server.new_database()))  # type: ignore[attr-defined]
    writer, reader = LineageWriter(store), LineageReader(store)
    long = "ä€漢🚀" * 50_000
    RunWriter(store).begin_run("p", "run", '{"text": "ä€漢"}')
    execution = writer.begin_execution(
        Attempt("p", "run", "node", "T"), {"long": long, "big": 1 << 40}, {}
    )
    writer.end_execution(execution, State.FAILED, {"message": long})
    (found,) = reader.executions_of_run("run")
    assert found.properties["message"] == found.properties["long"] == long
    assert found.properties["big"] == 1 << 40
    assert reader.run("run").parameters == '{"text": "ä€漢"}'
    assert os.environ[PASSWORD_VARIABLE] == PASSWORD


def test_texts_with_backslashes_are_stored(server: DatabaseServer) -> None:
    store = Store(server.connection(server.new_database()))  # type: ignore[attr-defined]
    writer, reader = LineageWriter(store), LineageReader(store)
    texts = ["C:\\rows.csv", "\\", "it's \\' quoted", '{"delimiter": "\\t"}', "\\n" * 2000]
    properties = {f"text-{number}": text for number, text in enumerate(texts)}
    execution = writer.begin_execution(Attempt("p", "run", "node", "T"), properties, {})
    (found,) = reader.executions([execution])
    assert [found.properties[name] for name in properties] == texts
