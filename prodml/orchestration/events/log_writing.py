"""The event log of a run: `events.jsonl` in its log directory, one JSON object a line.

Keys: `timestamp` (UTC, ISO 8601), `level`, `event`, `run`, `pipeline`, and, if they have a value,
`node`, `execution`, `attempt`, `state`, `message`, `seconds`, `log`, `inputs` and `outputs`
(`{key: [{id, uri}]}`) and `rows`.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import time
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from prodml.artifacts import Artifact
from prodml.orchestration.events.appended_lines import AppendedLines
from prodml.orchestration.events.event import Event, EventKind
from prodml.secrets import redact

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

NAME = "events.jsonl"

LEVELS = ("debug", "info", "warning", "error")
"""From the least to the most important."""

Fields = MutableMapping[str, Any]

_WITHOUT_STRUCTLOG = frozenset({EventKind.RUN_STARTED, EventKind.RUN_ENDED, EventKind.NODE_ENDED})


class EventLog:
    """An event sink that appends every event to the event log of a run.

    Args:
        log_dir: directory of the run's logs; created if missing.
    """

    def __init__(self, log_dir: str) -> None:
        self._path = os.path.join(log_dir, NAME)
        self._lines = AppendedLines(self._path)
        self._logger: FilteringBoundLogger | None = None
        self._lost = 0

    def emit(self, event: Event) -> None:
        level, fields = level_of(event), _fields(event)
        try:
            if self._logger is None and event.kind in _WITHOUT_STRUCTLOG:
                # Importing structlog, with rich's tracebacks and pygments, takes 20 ms: a tenth of
                # the time of a run in which every node is cached. Until a node runs, the
                # processors are called directly.
                line = _processed(level, {"event": str(event.kind), **fields})
                self._lines.append(line)
                return
            if self._logger is None:
                self._logger = _logger(self._lines)
            getattr(self._logger, level)(str(event.kind), **fields)
        except OSError:
            self._lost += 1

    def close(self) -> None:
        self._lines.close()
        if self._lost:
            print(
                f"warning: {self._lost} event(s) could not be written to {self._path}; is the disk "
                f"full, or the directory read-only?",
                file=sys.stderr,
            )


def run_logger(log_dir: str, **context: Any) -> FilteringBoundLogger:
    """A structlog logger that appends to the event log of a run.

    Example: `run_logger(dir, run=..., pipeline=...).warning("waiting", message="the database is
    busy", seconds=3.0)`. A call of the logger raises OSError if the filesystem refuses.

    Args:
        log_dir: directory of the run's logs.
        context: fields of every line, such as `run` and `pipeline`.
    """
    logger: FilteringBoundLogger = _logger(AppendedLines(os.path.join(log_dir, NAME)))
    return logger.bind(**context)


def level_of(event: Event) -> str:
    """`info`, `warning` or `error`."""
    if event.kind is EventKind.NODE_RETRIED or event.state.upper() == "CANCELED":
        return "warning"
    return "error" if event.state.upper() == "FAILED" else "info"


def timestamp(unix_seconds: float) -> str:
    """`2026-01-31T23:59:59.123456Z`."""
    moment = datetime.datetime.fromtimestamp(unix_seconds, datetime.UTC)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _fields(event: Event) -> dict[str, Any]:
    fields = {
        "timestamp": timestamp(event.time),
        "run": event.run_id,
        "pipeline": event.pipeline,
        "node": event.node_id,
        "execution": event.execution_id,
        "attempt": event.attempt,
        "state": str(event.state),
        "message": event.message,
        "seconds": round(event.seconds, 6),
        "log": event.log,
        "inputs": _artifacts(event.inputs),
        "outputs": _artifacts(event.outputs),
        "rows": [asdict(count) for count in event.row_counts],
    }
    return {key: value for key, value in fields.items() if value}


def _artifacts(by_key: Mapping[str, Sequence[Artifact]]) -> dict[str, list[dict[str, Any]]]:
    return {
        key: [{"id": artifact.id, "uri": artifact.uri} for artifact in artifacts]
        for key, artifacts in by_key.items()
        if artifacts
    }


# structlog processors: each receives the result of the previous one.


def _add_time_and_level(logger: object, level: str, fields: Fields) -> Fields:
    stamp = fields.pop("timestamp", None) or timestamp(time.time())
    return {"timestamp": stamp, "level": level, "event": fields.pop("event"), **fields}


def _hide_secrets(logger: object, level: str, fields: Fields) -> Fields:
    return {key: _hidden(value) for key, value in fields.items()}


def _render(logger: object, level: str, fields: Fields) -> bytes:
    # ASCII: a node id or message may contain a lone surrogate, which UTF-8 cannot encode.
    return json.dumps(fields, default=str).encode("ascii")


_PROCESSORS = (_add_time_and_level, _hide_secrets)


def _processed(level: str, fields: Fields) -> bytes:
    for processor in _PROCESSORS:
        fields = processor(None, level, fields)
    return _render(None, level, fields)


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _hidden(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(inner) for inner in value]
    return value


def _logger(lines: AppendedLines) -> FilteringBoundLogger:
    import structlog

    logger: FilteringBoundLogger = structlog.wrap_logger(
        _LineLogger(lines),
        processors=[*_PROCESSORS, structlog.processors.format_exc_info, _render],
        wrapper_class=structlog.make_filtering_bound_logger("debug"),
        context_class=dict,
    )
    return logger


class _LineLogger:
    """The logger that structlog wraps: one method for each level, which appends the line."""

    def __init__(self, lines: AppendedLines) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = lines.append
