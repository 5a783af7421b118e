"""The triggers of a pipeline's retraining, as a configuration declares them in `retrain`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import Field

_STRICT = {"extra": "forbid"}
"""Pydantic's settings for a section of a configuration."""

Fraction = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True)
class CronSchedule:
    """When `prodml schedule` checks the triggers.

    Attributes:
        cron: five fields (minute, hour, day of month, month, day of week), as in Debian's cron.
        timezone: IANA name of the time zone of the fields, such as `Europe/Berlin` or `UTC`.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    cron: str
    timezone: str


@dataclass(frozen=True)
class Triggers:
    """What makes a run of a pipeline due; one trigger is enough.

    "The newest model" is the newest Model that the pipeline has produced, blessed or not.

    Attributes:
        new_span: due if there is a span, or a version of a span, that the newest model has not
            seen.
        older_than_days: due if the newest model is older.
        rows_since: due if a run would read at least this many rows that the newest model has not
            seen.
        schema_changed: due if the schema has changed since the newest model.
        drift: due if the Jensen-Shannon divergence of a feature, between the newest statistics and
            those of the newest model's data, is above its threshold.
        performance_below: due if a metric of the newest evaluation is below its threshold.
        monitored_by: name of the pipeline in the same store that records the newest statistics and
            evaluations; by default the pipeline itself.
        max_attempts: how many runs may start for the same state of data, code and parameters. A
            run that failed, died or was cancelled counts; after a completed run none starts.
        schedule: when `prodml schedule` checks the triggers.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    new_span: bool = False
    older_than_days: Annotated[float, Field(gt=0)] | None = None
    rows_since: Annotated[int, Field(ge=1)] | None = None
    schema_changed: bool = False
    drift: dict[str, Fraction] = field(default_factory=dict)
    performance_below: dict[str, float] = field(default_factory=dict)
    monitored_by: str | None = None
    max_attempts: Annotated[int, Field(ge=1)] = 3
    schedule: CronSchedule | None = None

    @property
    def are_declared(self) -> bool:
        """Whether there is any trigger."""
        return bool(
            self.new_span
            or self.older_than_days is not None
            or self.rows_since is not None
            or self.schema_changed
            or self.drift
            or self.performance_below
        )
