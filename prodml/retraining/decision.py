"""Decides from facts which triggers are due, and from earlier runs whether a run may start.

Both are pure functions. The key of a due trigger contains the state of data, code and parameters,
and never a time: two processes with different clocks that see the same state have the same keys.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from prodml.metadata.records import RunState, TriggerClaim
from prodml.retraining.facts import Facts, Measured
from prodml.retraining.triggers import Triggers

_DAY = 24 * 3600 * 1000


class Answer(StrEnum):
    """The answer of one trigger."""

    DUE = "due"
    NOT_DUE = "not due"
    UNKNOWN = "unknown"
    """The comparison could not be made."""
    DONE = "done"
    """It was due, and a completed run has used the same state."""
    RUNNING = "running"
    """It was due, and its run is in progress."""
    GAVE_UP = "gave up"
    """It is due, but its runs have failed too often."""


class Action(StrEnum):
    """What follows from the answers of all triggers."""

    RUN = "run"
    NOTHING = "nothing"
    WAIT = "wait"
    GIVE_UP = "give up"


@dataclass(frozen=True)
class Verdict:
    """The answer of one trigger.

    Attributes:
        trigger: name of the trigger, with the node, feature or metric that it is about.
        value: what was found.
        threshold: what it was compared with.
        answer: the answer.
        reason: the answer in words.
        key: identifies what was found, and the state; empty if the trigger is not due.
    """

    trigger: str
    value: str
    threshold: str
    answer: Answer
    reason: str
    key: str = ""


@dataclass(frozen=True)
class StartedRun:
    """A run that a key has started; `state` is None if it has no record."""

    run_id: str
    state: RunState | None


@dataclass(frozen=True)
class Decision:
    """What to do, and why.

    Attributes:
        action: what to do.
        verdicts: the answer of every trigger.
        claims: what the run must claim, if the action is RUN.
    """

    action: Action
    verdicts: tuple[Verdict, ...]
    claims: tuple[TriggerClaim, ...] = ()


def evaluate(triggers: Triggers, facts: Facts) -> tuple[Verdict, ...]:
    """The answer of every declared trigger, from facts alone: due, not due or unknown."""
    found = (
        *_new_spans(triggers, facts),
        *_age(triggers, facts),
        *_rows(triggers, facts),
        *_schemas(triggers, facts),
        *_drift(triggers, facts),
        *_performance(triggers, facts),
    )
    if facts.model is None:
        found = tuple(_without_model(verdict) for verdict in found)
    return tuple(
        dataclasses.replace(v, key=_key(v, facts) if v.answer is Answer.DUE else "") for v in found
    )


def decide(
    verdicts: Sequence[Verdict], started: Mapping[str, Sequence[StartedRun]], max_attempts: int
) -> Decision:
    """Decides whether a run may start.

    A key may start a run if it has started none, or if its last run failed, died or was cancelled
    and it has started fewer than `max_attempts`. A completed run is the last one for its key. While
    a run for any due key is in progress, no run starts: its result may change the answers.

    Args:
        verdicts: the result of `evaluate`.
        started: runs by key, oldest first.
        max_attempts: how many runs a key may start.
    """
    judged = tuple(
        _judged(v, started.get(v.key, ()), max_attempts) if v.answer is Answer.DUE else v
        for v in verdicts
    )
    answers = {verdict.answer for verdict in judged}
    if Answer.RUNNING in answers:
        return Decision(Action.WAIT, judged)
    claims = tuple(
        TriggerClaim(key, len(started.get(key, ())) + 1)
        for key in sorted({v.key for v in judged if v.answer is Answer.DUE})
    )
    if claims:
        return Decision(Action.RUN, judged, claims)
    return Decision(Action.GIVE_UP if Answer.GAVE_UP in answers else Action.NOTHING, judged)


def _judged(verdict: Verdict, started: Sequence[StartedRun], max_attempts: int) -> Verdict:
    if not started:
        return verdict
    last = started[-1]
    if last.state is RunState.COMPLETE:
        reason = f"{verdict.reason}; run {last.run_id} has used the same data, code and parameters"
        return dataclasses.replace(verdict, answer=Answer.DONE, reason=reason)
    if last.state is RunState.RUNNING:
        reason = f"{verdict.reason}; run {last.run_id} is in progress"
        return dataclasses.replace(verdict, answer=Answer.RUNNING, reason=reason)
    runs = ", ".join(run.run_id for run in started)
    if len(started) >= max_attempts:
        reason = f"{verdict.reason}; {len(started)} run(s) did not complete: {runs}"
        return dataclasses.replace(verdict, answer=Answer.GAVE_UP, reason=reason)
    reason = f"{verdict.reason}; run {len(started) + 1} of {max_attempts}, after {runs}"
    return dataclasses.replace(verdict, reason=reason)


def _key(verdict: Verdict, facts: Facts) -> str:
    text = "\0".join([verdict.trigger, verdict.key, facts.state])
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return f"{verdict.trigger.partition(' ')[0]}:{digest}"


def _without_model(verdict: Verdict) -> Verdict:
    return dataclasses.replace(verdict, answer=Answer.DUE, reason="there is no model yet")


def _new_spans(triggers: Triggers, facts: Facts) -> Iterator[Verdict]:
    for source in facts.sources if triggers.new_span else ():
        is_new = source.trained is None or source.available > source.trained
        seen = str(source.trained) if source.trained else "no span"
        yield Verdict(
            f"new_span {source.node_id}",
            str(source.available),
            f"after {seen}",
            Answer.DUE if is_new else Answer.NOT_DUE,
            f"the newest model has seen {seen}",
            key=str(source.available),
        )


def _age(triggers: Triggers, facts: Facts) -> Iterator[Verdict]:
    limit = triggers.older_than_days
    if limit is None:
        return
    age = (facts.now - facts.model.created) / _DAY if facts.model else 0.0
    name = f"model {facts.model.id}" if facts.model else "no model"
    yield Verdict(
        "older_than_days",
        f"{age:.2f}" if facts.model else "no model",
        f"{limit:g}",
        Answer.DUE if age > limit else Answer.NOT_DUE,
        f"{name} is {age:.2f} days old",
        # Other keys need only the state. Here, a run that reads the same state again can be useful:
        # not all that a node reads is visible before it runs.
        key=name,
    )


def _rows(triggers: Triggers, facts: Facts) -> Iterator[Verdict]:
    if triggers.rows_since is None:
        return
    for source in facts.sources:
        rows = source.new_rows or 0
        yield Verdict(
            f"rows_since {source.node_id}",
            f"{rows:,}",
            f"{triggers.rows_since:,}",
            Answer.DUE if rows >= triggers.rows_since else Answer.NOT_DUE,
            f"{rows:,} rows that the newest model has not seen",
        )


def _schemas(triggers: Triggers, facts: Facts) -> Iterator[Verdict]:
    for schema in facts.schemas if triggers.schema_changed else ():
        if not schema.trained or not schema.current:
            missing = "there is none now"
            if not schema.trained:
                missing = "the newest model has used none, or it was deleted"
            answer, reason = Answer.UNKNOWN, f"no schema to compare: {missing}"
        elif schema.trained == schema.current:
            answer, reason = Answer.NOT_DUE, "the newest model has used the same schema"
        else:
            answer, reason = Answer.DUE, "the schema has changed since the newest model"
        yield Verdict(
            f"schema_changed {schema.node_id}",
            schema.current[:12] or "none",
            f"other than {schema.trained[:12] or 'none'}",
            answer,
            reason,
            key=schema.current,
        )


def _drift(triggers: Triggers, facts: Facts) -> Iterator[Verdict]:
    for feature, limit in sorted(triggers.drift.items()):
        yield _compared("drift", feature, facts.drift, limit, is_due=lambda value, at: value > at)


def _performance(triggers: Triggers, facts: Facts) -> Iterator[Verdict]:
    for metric, limit in sorted(triggers.performance_below.items()):
        yield _compared(
            "performance_below", metric, facts.metrics, limit, is_due=lambda value, at: value < at
        )


def _compared(
    kind: str, name: str, measured: Measured, limit: float, is_due: Callable[[float, float], bool]
) -> Verdict:
    trigger, threshold = f"{kind} {name}", f"{limit:g}"
    if measured.absence:
        return Verdict(trigger, "none", threshold, Answer.UNKNOWN, measured.absence)
    value = measured.values[name]
    answer = Answer.DUE if is_due(value, limit) else Answer.NOT_DUE
    return Verdict(trigger, f"{value:.4g}", threshold, answer, measured.source)
