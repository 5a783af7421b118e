"""Claims of triggers, and the times of checks, on a real SQLite store."""

from pathlib import Path

import pytest

from prodml.errors import ClaimedError, NotFoundError
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import RunState, TriggerClaim
from prodml.metadata.run_writing import RunWriter
from prodml.metadata.store import Store
from prodml.metadata.trigger_claims import TriggerTable

FIRST, SECOND = TriggerClaim("new_span:a", 1), TriggerClaim("older_than:b", 1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "metadata.db"))


def test_a_claim_is_recorded_with_the_start_of_its_run(store: Store) -> None:
    RunWriter(store).begin_run("p", "run", "{}", claims=[FIRST, SECOND])
    assert TriggerTable(store).run_ids("p", FIRST.key) == ["run"]
    assert TriggerTable(store).run_ids("p", SECOND.key) == ["run"]
    assert LineageReader(store).run("run").state is RunState.RUNNING


def test_a_run_that_loses_one_of_its_claims_is_not_recorded(store: Store) -> None:
    RunWriter(store).begin_run("p", "run", "{}", claims=[FIRST])
    with pytest.raises(ClaimedError, match="another process has just started a run"):
        RunWriter(store).begin_run("p", "other", "{}", claims=[SECOND, FIRST])
    with pytest.raises(NotFoundError):
        LineageReader(store).run("other")
    assert TriggerTable(store).run_ids("p", SECOND.key) == []


def test_recording_a_run_again_after_a_lost_response_is_no_conflict(store: Store) -> None:
    for _ in range(2):
        RunWriter(store).begin_run("p", "run", "{}", claims=[FIRST])
    assert TriggerTable(store).run_ids("p", FIRST.key) == ["run"]


def test_the_runs_of_a_key_are_numbered(store: Store) -> None:
    for number, run in enumerate(["one", "two", "three"], start=1):
        claims = [TriggerClaim("new_span:a", number)]
        RunWriter(store).begin_run("p", run, "{}", claims=claims)
    assert TriggerTable(store).run_ids("p", "new_span:a") == ["one", "two", "three"]


def test_pipelines_have_separate_claims(store: Store) -> None:
    for pipeline in ("p", "q"):
        RunWriter(store).begin_run(pipeline, f"run-{pipeline}", "{}", claims=[FIRST])
    assert TriggerTable(store).run_ids("q", FIRST.key) == ["run-q"]


def test_the_last_check_of_each_pipeline_is_recorded(store: Store) -> None:
    table = TriggerTable(store)
    assert table.last_check("p") is None
    for checked in (5_000_000_000_000, 7_000_000_000_000):
        table.record_check("p", checked)
    assert table.last_check("p") == 7_000_000_000_000
    assert table.last_check("q") is None
