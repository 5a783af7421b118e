"""A decision that is out of date when its run would start starts no run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.retrained import RetrainedProject
from support.silent import Silent

from prodml.errors import ClaimedError
from prodml.metadata.leases import LeaseTable
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import RunState
from prodml.metadata.store import Store
from prodml.orchestration.code.pipeline_file import load_spec
from prodml.orchestration.run import run_pipeline
from prodml.orchestration.settings import RunSettings
from prodml.retraining.check import check_triggers
from prodml.retraining.decision import Action, Answer, Decision
from prodml.retraining.triggers import Triggers


def test_two_processes_that_decided_before_either_ran_start_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project = RetrainedProject(tmp_path, {})
    store = Store("metadata.db")
    spec = load_spec("pipeline.py", {}, module_roots=())

    def decide(days_later: int = 0) -> Decision:
        now = int(time.time() * 1000) + days_later * 24 * 3600 * 1000
        triggers = Triggers(new_span=True, older_than_days=7)
        return check_triggers(spec, store, triggers, "tf_keras", now)

    def run(decision: Decision) -> None:
        settings = RunSettings("metadata.db", "artifacts", "logs", claims=decision.claims)
        run_pipeline(spec, settings, Silent())

    first, second = decide(), decide()
    assert first.claims == second.claims and len(first.claims) == 2
    run(first)
    with pytest.raises(ClaimedError, match="another process has just started a run"):
        run(second)
    assert [r.state for r in LineageReader(store).runs(9)] == [RunState.COMPLETE]
    assert project.trainings == 1
    lease = LeaseTable(store).newest("small")
    assert lease is not None and lease.ended, "the loser has released the pipeline"
    # The model is old, but a completed run has shown that the same data give no other model.
    assert decide().action is Action.NOTHING
    old = decide(days_later=8)
    assert old.action is Action.RUN
    run(old)
    again = decide(days_later=8)
    assert (again.action, again.verdicts[1].answer) == (Action.NOTHING, Answer.DONE)
    assert project.trainings == 1


def test_a_changed_schema_and_new_rows_are_noticed_after_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project = RetrainedProject(tmp_path, {})
    spec = load_spec("pipeline.py", {}, module_roots=())
    run_pipeline(spec, RunSettings("metadata.db", "artifacts", "logs"), Silent())

    def answers() -> dict[str, tuple[str, str]]:
        triggers = Triggers(schema_changed=True, rows_since=5)
        now = int(time.time() * 1000)
        decision = check_triggers(spec, Store("metadata.db"), triggers, "tf_keras", now)
        return {v.trigger.partition(" ")[0]: (v.answer, v.value) for v in decision.verdicts}

    before = answers()
    assert before["rows_since"] == (Answer.NOT_DUE, "0")
    assert before["schema_changed"][0] is Answer.NOT_DUE
    project.span(2, rows=4)
    assert answers()["rows_since"] == (Answer.NOT_DUE, "4")
    project.span(3, rows=5)
    project.schema("y")
    after = answers()
    assert after["rows_since"] == (Answer.DUE, "5")
    assert after["schema_changed"][0] is Answer.DUE
