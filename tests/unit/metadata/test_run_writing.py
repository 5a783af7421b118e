from pathlib import Path

import pytest

from prodml.metadata.reading import LineageReader
from prodml.metadata.records import RunState
from prodml.metadata.run_writing import RunWriter
from prodml.metadata.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "metadata.db"))


def test_a_run_is_running_until_it_ends(store: Store) -> None:
    writer, reader = RunWriter(store), LineageReader(store)
    writer.begin_run("flights", "run", '{"a": 1}')
    assert reader.run("run").state is RunState.RUNNING
    writer.end_run("run", RunState.FAILED, "because")
    ended = reader.run("run")
    assert (ended.state, ended.message, ended.parameters) == (
        RunState.FAILED,
        "because",
        '{"a": 1}',
    )
    assert ended.ended >= ended.started > 0


def test_a_run_ends_once_and_only_under_its_own_lease(store: Store) -> None:
    writer, reader = RunWriter(store), LineageReader(store)
    writer.begin_run("p", "run", "{}", lease_id=7)
    assert not writer.end_run("run", RunState.FAILED, "dead", lease_id=6)
    assert writer.end_run("run", RunState.COMPLETE, lease_id=7)
    assert not writer.end_run("run", RunState.FAILED, "too late")
    assert reader.run("run").state is RunState.COMPLETE
    writer.resume_run("run", 8)
    assert [r.run_id for r in reader.runs_in_state(RunState.RUNNING)] == ["run"]
