"""Starts the checks of several pipelines at the instants of their timetables.

Each check is a process of its own, `prodml retrain`, so that a pipeline cannot harm the scheduler
or another pipeline. Pipelines are checked side by side, and one pipeline only once at a time: what
falls due during its check is caught up by one check afterwards.

The process sleeps until the next instant. A sleep counts monotonic time, but instants are wall
time: after the clock was set or the machine was asleep, the sleep would end at another instant. So
no sleep is longer than a minute, and an instant is noticed at most that much late.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prodml.retraining.cron import Cron
from prodml.retraining.timetable import Timetable

LONGEST_SLEEP_SECONDS = 60.0
_STOPPING = (signal.SIGINT, signal.SIGTERM)

OUTCOMES: Mapping[int, str] = {
    0: "a run succeeded",
    1: "failed",
    2: "the request was invalid",
    3: "a run succeeded, but pushed no model",
    4: "no run was started",
    130: "cancelled",
}
"""What the exit codes of `prodml retrain` mean."""


@dataclass(frozen=True)
class ScheduledPipeline:
    """A pipeline that is checked on a schedule.

    Attributes:
        name: name of the pipeline.
        command: the command that checks it.
        cron: the instants of the checks.
        handled: checks up to this instant are done.
    """

    name: str
    command: Sequence[str]
    cron: Cron
    handled: datetime.datetime


class Scheduler:
    """Checks pipelines until SIGTERM or SIGINT.

    Args:
        pipelines: the pipelines.
        say: prints a line.
        now: the wall clock.
    """

    def __init__(
        self,
        pipelines: Sequence[ScheduledPipeline],
        say: Callable[[str], None],
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self._entries = [_Entry(pipeline) for pipeline in pipelines]
        self._say = say
        self._now = now
        self._signals = 0

    def run(self) -> None:
        """Starts checks until a signal, then cancels those in progress and waits for them.

        A second signal ends them without cleaning up.
        """
        passed_on = 0
        with self._woken_by_signals() as wake:
            for entry in self._entries:
                self._announce(entry)
            while True:
                self._reap()
                if not self._signals:
                    self._start_due()
                elif not self._running:
                    self._say("stopped")
                    return
                while passed_on < self._signals:
                    # Not in the handler, which can be called while a process is being started.
                    self._cancel_running()
                    passed_on += 1
                select.select([wake], [], [], None if self._signals else self._sleep_seconds())
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)

    @property
    def _running(self) -> list[_Entry]:
        return [entry for entry in self._entries if entry.process is not None]

    def _start_due(self) -> None:
        for entry in self._entries:
            if entry.process is not None:
                continue
            due = entry.timetable.take_due(self._now())
            if due is not None:
                self._say(f"{entry.name}: checks its triggers, due {entry.cron.text(due)}")
                # A session of its own: Ctrl-C reaches only the scheduler, which passes it on once.
                entry.process = subprocess.Popen(
                    entry.command, stdin=subprocess.DEVNULL, start_new_session=True
                )

    def _reap(self) -> None:
        for entry in self._running:
            assert entry.process is not None
            code = entry.process.poll()
            if code is not None:
                entry.process = None
                outcome = OUTCOMES.get(code, f"exit code {code}" if code > 0 else "killed")
                self._say(f"{entry.name}: {outcome}")
                if not self._signals:
                    self._announce(entry)

    def _announce(self, entry: _Entry) -> None:
        following = entry.timetable.next
        missed = " (missed)" if following <= self._now() else ""
        self._say(f"{entry.name}: next check {entry.cron.text(following)}{missed}")

    def _sleep_seconds(self) -> float:
        now = self._now()
        waits = [
            (entry.timetable.next - now).total_seconds()
            for entry in self._entries
            if entry.process is None
        ]
        return max(0.0, min([LONGEST_SLEEP_SECONDS, *waits]))

    def _count(self, number: int, frame: Any) -> None:
        self._signals += 1

    def _cancel_running(self) -> None:
        for entry in self._running:
            assert entry.process is not None
            entry.process.send_signal(signal.SIGTERM)

    @contextlib.contextmanager
    def _woken_by_signals(self) -> Iterator[int]:
        """Yields a descriptor that becomes readable on a signal, and when a check has ended."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        before: dict[int, Any] = {n: signal.signal(n, self._count) for n in _STOPPING}
        # With a handler, the end of a child writes to the pipe.
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        fd_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        try:
            yield reading
        finally:
            signal.set_wakeup_fd(fd_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(reading)
            os.close(writing)


class _Entry:
    """A pipeline, its timetable, and the process of its check in progress."""

    def __init__(self, pipeline: ScheduledPipeline) -> None:
        self.name = pipeline.name
        self.command = pipeline.command
        self.cron = pipeline.cron
        self.timetable = Timetable(pipeline.cron, pipeline.handled)
        self.process: subprocess.Popen[bytes] | None = None
