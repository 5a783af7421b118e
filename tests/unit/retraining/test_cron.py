"""Cron expressions in time zones, with changes to and from daylight saving time."""

from __future__ import annotations

import datetime
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prodml.errors import ConfigError
from prodml.retraining.cron import Cron
from prodml.retraining.timetable import Timetable

UTC = datetime.UTC
EXPRESSIONS = [
    "15 3 * * *",
    "30 2 * * *",
    "30 1 * * *",
    "*/10 * * * *",
    "0 */2 * * *",
    "0 3 * * SUN",
]
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]


def utc(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)


def instants(cron: Cron, start: str, count: int) -> list[str]:
    found, instant = [], utc(start)
    for _ in range(count):
        instant = cron.next_after(instant)
        found.append(cron.text(instant))
    return found


def test_a_time_of_the_day_follows_the_time_zone() -> None:
    cron = Cron("15 3 * * *", "Europe/Berlin")
    assert instants(cron, "2026-03-27", 4) == [
        "2026-03-27 03:15 CET",
        "2026-03-28 03:15 CET",
        "2026-03-29 03:15 CEST",
        "2026-03-30 03:15 CEST",
    ]


def test_a_time_that_the_change_skips_runs_just_after_it() -> None:
    cron = Cron("30 2 * * *", "Europe/Berlin")
    assert instants(cron, "2026-03-28T12:00", 2) == [
        "2026-03-29 03:00 CEST",
        "2026-03-30 02:30 CEST",
    ]


def test_a_time_in_the_repeated_hour_runs_once() -> None:
    cron = Cron("30 2 * * *", "Europe/Berlin")
    assert instants(cron, "2026-10-24T12:00", 2) == [
        "2026-10-25 02:30 CEST",
        "2026-10-26 02:30 CET",
    ]


times = st.one_of(
    st.datetimes(datetime.datetime(2026, 1, 1), datetime.datetime(2026, 12, 31)),
    *(
        st.integers(-6 * 3600, 6 * 3600).map(lambda s, at=at: at + datetime.timedelta(seconds=s))
        for at in (
            datetime.datetime(2026, 3, 29, 1),
            datetime.datetime(2026, 10, 25, 1),
            datetime.datetime(2026, 11, 1, 6),
            datetime.datetime(2026, 4, 4, 15),
        )
    ),
).map(lambda time: time.replace(tzinfo=UTC))


@given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), times, st.integers(0, 5 * 86400))
@example("30 1 * * *", "America/New_York", utc("2026-10-31T05:00"), 90_000)
def test_the_latest_instant_is_the_last_one_before_the_next(
    expression: str, zone: str, after: datetime.datetime, seconds: int
) -> None:
    cron, until = Cron(expression, zone), after + datetime.timedelta(seconds=seconds)
    latest = cron.latest_in(after, until)
    following = cron.next_after(after)
    if latest is None:
        assert following > until
    else:
        assert after < following <= latest <= until < cron.next_after(latest)


@given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), times, st.data())
def test_no_instant_is_due_twice_however_the_clock_jumps(
    expression: str, zone: str, start: datetime.datetime, data: st.DataObject
) -> None:
    timetable, now, taken = Timetable(Cron(expression, zone), start), start, []
    for _ in range(data.draw(st.integers(1, 6))):
        now += datetime.timedelta(minutes=data.draw(st.integers(-3 * 24 * 60, 5 * 24 * 60)))
        due = timetable.take_due(now)
        if due is not None:
            assert due <= now
            taken.append(due)
        assert timetable.next > now or timetable.next > (taken or [start])[-1]
    assert all(one < other for one, other in itertools.pairwise(taken))


def test_missed_instants_are_caught_up_once() -> None:
    timetable = Timetable(Cron("0 3 * * *", "UTC"), utc("2026-01-01"))
    assert timetable.next == utc("2026-01-01T03:00")
    assert timetable.take_due(utc("2026-01-01T02:59")) is None
    assert timetable.take_due(utc("2026-01-09T12:00")) == utc("2026-01-09T03:00")
    assert timetable.take_due(utc("2026-01-09T12:00")) is None
    assert timetable.next == utc("2026-01-10T03:00")


@pytest.mark.parametrize(
    ("expression", "zone", "message"),
    [
        ("15 3 * *", "UTC", "it needs five fields"),
        ("0 15 3 * * *", "UTC", "it needs five fields"),
        ("61 3 * * *", "UTC", "Bad minute"),
        ("0 0 31 2 *", "UTC", "Bad day-of-month"),
        ("15 3 * * *", "Europe/Berlim", "unknown time zone 'Europe/Berlim'"),
        ("15 3 * * *", "../etc/passwd", "unknown time zone"),
        ("15 3 * * *", "", "unknown time zone"),
    ],
)
def test_a_wrong_schedule_is_refused(expression: str, zone: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Cron(expression, zone)
