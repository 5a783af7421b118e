"""The instants of a cron expression in a time zone.

cronsim implements Debian's rules for daylight saving time: a job at a fixed time that the change
skips runs just after it, and one in the repeated hour runs once; a job with `*` runs in every real
hour or minute.
"""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Iterator

from cronsim import CronSim, CronSimError

from prodml.errors import ConfigError

_FIELDS = 5
_EARLIER = datetime.timedelta(days=2)
"""More than any change of a time zone moves an instant."""


class Cron:
    """The instants of a cron expression, as aware times in UTC.

    Args:
        expression: five fields: minute, hour, day of month, month, day of week.
        timezone: IANA name of a time zone.

    Raises:
        ConfigError: the expression or the time zone is invalid, or it never occurs.
    """

    def __init__(self, expression: str, timezone: str) -> None:
        self._expression = expression
        try:
            self._zone = zoneinfo.ZoneInfo(timezone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigError(
                f"retrain.schedule.timezone: unknown time zone {timezone!r}; use an IANA name, "
                f"such as Europe/Berlin or UTC"
            ) from None
        if len(expression.split()) != _FIELDS:
            raise self._invalid("it needs five fields: minute, hour, day of month, month, weekday")
        try:
            next(CronSim(expression, datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)))
        except CronSimError as error:
            raise self._invalid(str(error)) from None
        except StopIteration:
            raise self._invalid("no such date exists") from None

    def next_after(self, instant: datetime.datetime) -> datetime.datetime:
        """The first instant after another one."""
        # In a repeated hour, cronsim's first answer can be before its start.
        return next(found for found in self._from(instant) if found > instant)

    def latest_in(
        self, after: datetime.datetime, until: datetime.datetime
    ) -> datetime.datetime | None:
        """The last instant in (after, until]; None if there is none."""
        # Backwards, cronsim is wrong near changes of the time zone. So it only finds a start.
        back = next(CronSim(self._expression, until.astimezone(self._zone), reverse=True))
        start = max(after, back.astimezone(datetime.UTC) - _EARLIER)
        latest = None
        for found in self._from(start):
            if found > until:
                return latest
            if found > after:
                latest = found
        return latest

    def text(self, instant: datetime.datetime) -> str:
        """An instant in the time zone, such as `2026-03-29 03:15 CEST`."""
        return f"{instant.astimezone(self._zone):%Y-%m-%d %H:%M %Z}"

    def _from(self, start: datetime.datetime) -> Iterator[datetime.datetime]:
        for found in CronSim(self._expression, start.astimezone(self._zone)):
            yield found.astimezone(datetime.UTC)

    def _invalid(self, why: str) -> ConfigError:
        return ConfigError(
            f"retrain.schedule.cron: invalid expression {self._expression!r}: {why}; an example is "
            f"'15 3 * * *', each day at 03:15"
        )
