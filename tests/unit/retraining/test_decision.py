"""When a pipeline is due for retraining, and when a run may start."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml.metadata.records import RunState
from prodml.retraining.decision import (
    Action,
    Answer,
    Decision,
    StartedRun,
    Verdict,
    decide,
    evaluate,
)
from prodml.retraining.facts import Facts, Measured, ModelFact, SchemaFact, SourceFact, SpanFact
from prodml.retraining.triggers import Triggers

DAY = 24 * 3600 * 1000
NOW = 20_000 * DAY
ALL = Triggers(
    new_span=True,
    older_than_days=7,
    rows_since=1000,
    schema_changed=True,
    drift={"distance": 0.1},
    performance_below={"auc": 0.7},
)
QUIET = Facts(
    now=NOW,
    state="state",
    model=ModelFact(17, NOW - DAY),
    sources=(SourceFact("Gen", SpanFact(3, 0), SpanFact(3, 0), 0),),
    schemas=(SchemaFact("SchemaGen", "a", "a"),),
    drift=Measured({"distance": 0.02}, "statistics 9"),
    metrics=Measured({"auc": 0.8}, "evaluation 12"),
)


def due(facts: Facts, triggers: Triggers = ALL) -> list[str]:
    return [v.trigger for v in evaluate(triggers, facts) if v.answer is Answer.DUE]


def source(**fields: Any) -> tuple[SourceFact, ...]:
    return (dataclasses.replace(QUIET.sources[0], **fields),)


def test_nothing_is_due_if_nothing_has_changed() -> None:
    assert due(QUIET) == []


@pytest.mark.parametrize(
    ("changed", "trigger"),
    [
        ({"sources": source(available=SpanFact(4, 0))}, "new_span Gen"),
        ({"sources": source(available=SpanFact(3, 1))}, "new_span Gen"),
        ({"sources": source(trained=None)}, "new_span Gen"),
        ({"sources": source(new_rows=1000)}, "rows_since Gen"),
        ({"model": ModelFact(17, NOW - 8 * DAY)}, "older_than_days"),
        ({"schemas": (SchemaFact("SchemaGen", "a", "b"),)}, "schema_changed SchemaGen"),
        ({"drift": Measured({"distance": 0.11})}, "drift distance"),
        ({"metrics": Measured({"auc": 0.69})}, "performance_below auc"),
    ],
)
def test_one_change_makes_one_trigger_due(changed: dict[str, Any], trigger: str) -> None:
    assert due(dataclasses.replace(QUIET, **changed)) == [trigger]


@pytest.mark.parametrize(
    "changed",
    [
        {"sources": source(available=SpanFact(2, 9))},
        {"sources": source(new_rows=999)},
        {"model": ModelFact(17, NOW - 7 * DAY)},
        {"drift": Measured({"distance": 0.1})},
        {"metrics": Measured({"auc": 0.7})},
    ],
)
def test_a_value_at_its_threshold_is_not_due(changed: dict[str, Any]) -> None:
    assert due(dataclasses.replace(QUIET, **changed)) == []


def test_without_a_model_every_trigger_is_due() -> None:
    facts = dataclasses.replace(QUIET, model=None)
    assert len(due(facts)) == 6
    assert {v.reason for v in evaluate(ALL, facts)} == {"there is no model yet"}


def test_a_comparison_that_could_not_be_made_is_unknown_with_its_reason() -> None:
    facts = dataclasses.replace(
        QUIET,
        drift=Measured(absence="no statistics yet"),
        schemas=(SchemaFact("SchemaGen", "", "b"),),
    )
    unknown = {v.trigger: v.reason for v in evaluate(ALL, facts) if v.answer is Answer.UNKNOWN}
    assert unknown == {
        "drift distance": "no statistics yet",
        "schema_changed SchemaGen": "no schema to compare: the newest model has used none, or it "
        "was deleted",
    }


def test_a_trigger_that_is_not_declared_has_no_verdict() -> None:
    assert [v.trigger for v in evaluate(Triggers(new_span=True), QUIET)] == ["new_span Gen"]


spans = st.builds(SpanFact, st.integers(0, 5), st.integers(0, 2))
any_facts = st.builds(
    Facts,
    now=st.integers(NOW, NOW + 30 * DAY),
    state=st.sampled_from(["s", "t"]),
    model=st.none() | st.builds(ModelFact, st.integers(1, 3), st.integers(NOW - 9 * DAY, NOW)),
    sources=st.lists(
        st.builds(
            SourceFact, st.sampled_from("AB"), spans, st.none() | spans, st.integers(0, 2000)
        ),
        max_size=2,
        unique_by=lambda source: source.node_id,
    ).map(tuple),
    schemas=st.lists(
        st.builds(SchemaFact, st.just("S"), st.sampled_from(["", "a"]), st.sampled_from(["", "b"])),
        max_size=1,
    ).map(tuple),
    drift=st.floats(0, 1).map(lambda value: Measured({"distance": value})),
    metrics=st.floats(0, 1).map(lambda value: Measured({"auc": value})),
)
ENDS = st.sampled_from([RunState.COMPLETE, RunState.FAILED, RunState.CANCELED, None])


@given(any_facts)
def test_only_a_due_trigger_has_a_key(facts: Facts) -> None:
    for verdict in evaluate(ALL, facts):
        assert bool(verdict.key) is (verdict.answer is Answer.DUE)


@given(any_facts, st.integers(0, 3600_000))
def test_the_key_does_not_depend_on_the_clock(facts: Facts, difference: int) -> None:
    later = dataclasses.replace(facts, now=facts.now + difference)
    keys = {v.trigger: v.key for v in evaluate(ALL, facts) if v.key}
    keys_later = {v.trigger: v.key for v in evaluate(ALL, later) if v.key}
    assert all(keys_later[trigger] == key for trigger, key in keys.items())


@given(any_facts)
def test_another_state_has_other_keys(facts: Facts) -> None:
    other = dataclasses.replace(facts, state="other")
    assert not {v.key for v in evaluate(ALL, facts) if v.key} & {
        v.key for v in evaluate(ALL, other) if v.key
    }


@given(any_facts, st.integers(1, 4), st.lists(ENDS, max_size=12))
def test_a_key_starts_no_run_after_a_completed_one_and_at_most_max_attempts(
    facts: Facts, max_attempts: int, ends: list[RunState | None]
) -> None:
    verdicts = evaluate(ALL, facts)
    started: dict[str, list[StartedRun]] = {}
    for number, end in enumerate(ends):
        decision = decide(verdicts, started, max_attempts)
        assert (decision.action is Action.RUN) is bool(decision.claims)
        for claim in decision.claims:
            runs = started.setdefault(claim.key, [])
            assert claim.number == len(runs) + 1 <= max_attempts
            assert all(run.state is not RunState.COMPLETE for run in runs)
            runs.append(StartedRun(f"run-{number}", end))
    if ends and any(v.answer is Answer.DUE for v in verdicts):
        assert started


def with_runs(*states: RunState | None) -> Decision:
    verdict = Verdict("new_span Gen", "span 4", "after span 3", Answer.DUE, "why", key="k")
    runs = [StartedRun(f"run-{number}", state) for number, state in enumerate(states, start=1)]
    return decide([verdict], {"k": runs}, max_attempts=2)


def test_a_run_that_failed_is_followed_by_another_until_the_attempts_are_used_up() -> None:
    assert with_runs().action is Action.RUN
    second = with_runs(RunState.FAILED)
    assert second.action is Action.RUN and second.claims[0].number == 2
    assert second.verdicts[0].reason == "why; run 2 of 2, after run-1"
    third = with_runs(RunState.FAILED, RunState.CANCELED)
    assert third.action is Action.GIVE_UP
    assert third.verdicts[0].reason == "why; 2 run(s) did not complete: run-1, run-2"


def test_no_run_starts_while_one_is_in_progress_or_after_it_has_completed() -> None:
    assert with_runs(RunState.FAILED, RunState.RUNNING).action is Action.WAIT
    assert with_runs(RunState.COMPLETE).action is Action.NOTHING


def test_a_run_without_a_record_counts_as_failed() -> None:
    assert with_runs(None).claims[0].number == 2


def test_a_run_in_progress_for_one_trigger_holds_back_the_others() -> None:
    verdicts = [
        Verdict(name, "", "", Answer.DUE, "", key=name) for name in ("new_span A", "rows_since A")
    ]
    started = {"new_span A": [StartedRun("run", RunState.RUNNING)]}
    assert decide(verdicts, started, 3).action is Action.WAIT
