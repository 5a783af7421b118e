"""When a pipeline must be checked, from a cron expression and what was missed."""

from __future__ import annotations

import datetime

from prodml.retraining.cron import Cron


class Timetable:
    """The next check of one pipeline.

    Checks that were missed are caught up by one check. An instant is due once, even if the clock is
    set back afterwards.

    Args:
        cron: the instants of the checks.
        handled: checks up to this instant are done.
    """

    def __init__(self, cron: Cron, handled: datetime.datetime) -> None:
        self._cron = cron
        self._handled = handled
        self._next = cron.next_after(handled)

    @property
    def next(self) -> datetime.datetime:
        """The next instant; in the past if a check was missed."""
        return self._next

    def take_due(self, now: datetime.datetime) -> datetime.datetime | None:
        """The instant that is due; it is then done, with all before it. None if none is due."""
        if now < self._next:
            return None
        due = self._cron.latest_in(self._handled, now) or self._next
        self._handled = due
        self._next = self._cron.next_after(due)
        return due
