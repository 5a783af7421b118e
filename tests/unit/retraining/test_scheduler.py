"""The scheduler starts checks when they are due, with real processes and a set clock."""

from __future__ import annotations

import datetime
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from prodml.retraining import scheduler
from prodml.retraining.cron import Cron
from prodml.retraining.scheduler import ScheduledPipeline, Scheduler

START = datetime.datetime(2026, 1, 1, 2, tzinfo=datetime.UTC)
DAILY = Cron("0 3 * * *", "UTC")


class Log:
    """Collects the scheduler's lines, and stops the scheduler after the last expected one."""

    def __init__(self, last: str, then: Callable[[], None] | None = None) -> None:
        self.lines: list[str] = []
        self._last = last
        self._then = then or (lambda: os.kill(os.getpid(), signal.SIGTERM))

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if line == self._last:
            self._then()


def pipeline(name: str, code: str, handled: datetime.datetime = START) -> ScheduledPipeline:
    return ScheduledPipeline(name, [sys.executable, "-S", "-c", code], DAILY, handled)


@pytest.fixture(autouse=True)
def short_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "LONGEST_SLEEP_SECONDS", 0.01)


def run(pipelines: Sequence[ScheduledPipeline], log: Log, jumps: Sequence[int] = (0, 0, 1)) -> None:
    """Runs the scheduler; its clock stands still, except for a jump in hours at each look."""
    time, rest = START, list(jumps)

    def now() -> datetime.datetime:
        nonlocal time
        time += datetime.timedelta(hours=rest.pop(0) if rest else 0)
        return time

    Scheduler(pipelines, log, now).run()


def test_a_check_starts_when_it_is_due_and_its_outcome_is_reported() -> None:
    log = Log("p: next check 2026-01-02 03:00 UTC")
    run([pipeline("p", "raise SystemExit(4)")], log)
    assert log.lines == [
        "p: next check 2026-01-01 03:00 UTC",
        "p: checks its triggers, due 2026-01-01 03:00 UTC",
        "p: no run was started",
        "p: next check 2026-01-02 03:00 UTC",
        "stopped",
    ]


def test_missed_checks_are_caught_up_once() -> None:
    log = Log("p: next check 2026-01-02 03:00 UTC")
    missed = START - datetime.timedelta(days=9)
    run([pipeline("p", "", missed)], log, jumps=[2])
    assert log.lines[:3] == [
        "p: next check 2025-12-23 03:00 UTC (missed)",
        "p: checks its triggers, due 2026-01-01 03:00 UTC",
        "p: a run succeeded",
    ]


def test_a_clock_that_is_set_during_a_sleep_is_noticed() -> None:
    log = Log("p: next check 2026-01-03 03:00 UTC")
    run([pipeline("p", "")], log, jumps=[0, -5, 0, 0, 48])
    assert log.lines[1] == "p: checks its triggers, due 2026-01-02 03:00 UTC"


def test_pipelines_are_checked_side_by_side(tmp_path: Path) -> None:
    waits = (
        "import os, sys, time\n"
        "for _ in range(3000): os.path.exists('{}') and sys.exit(0) or time.sleep(0.01)\n"
        "sys.exit(1)"
    )
    slow = waits.format(tmp_path / "done")
    quick = f"open({str(tmp_path / 'done')!r}, 'w')"
    log = Log("slow: next check 2026-01-02 03:00 UTC")
    run([pipeline("slow", slow), pipeline("quick", quick)], log)
    assert "slow: a run succeeded" in log.lines


def test_a_signal_cancels_a_check_in_progress_and_waits_for_its_end(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))\n"
        "os.kill(os.getppid(), signal.SIGTERM)\n"
        "time.sleep(60)"
    )
    log = Log("never")
    run([pipeline("p", code)], log)
    assert log.lines[-2:] == ["p: cancelled", "stopped"]


def test_a_check_that_was_killed_is_reported() -> None:
    log = Log("p: next check 2026-01-02 03:00 UTC")
    run([pipeline("p", "import os\nos.kill(os.getpid(), 9)")], log)
    assert "p: killed" in log.lines
