"""Opens the event sinks of a run: always the event log; OpenLineage if it is configured."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from prodml.orchestration.events.event import EventSink
from prodml.orchestration.events.log_writing import EventLog, run_logger
from prodml.orchestration.settings import OpenLineage

OpenSinks = Callable[[str], Sequence[EventSink]]
"""Opens the event sinks of a run, given its id."""


def sinks_of_runs(log_root: str, lineage: OpenLineage | None, lineage_file: str) -> OpenSinks:
    """Returns a function that opens the sinks of a run, given its id.

    Args:
        log_root: directory of logs; each run has a directory below it.
        lineage: None for no OpenLineage events.
        lineage_file: file of OpenLineage events if `lineage` names no place.

    Raises:
        ConfigError: the token of the OpenLineage server cannot be read.
    """
    token = lineage.token.reveal() if lineage and lineage.token else None

    def open_sinks(run_id: str) -> Sequence[EventSink]:
        log_dir = os.path.join(log_root, run_id)
        if lineage is None:
            return [EventLog(log_dir)]
        return [EventLog(log_dir), _lineage_sink(log_dir, run_id, lineage, lineage_file, token)]

    return open_sinks


def _lineage_sink(
    log_dir: str, run_id: str, settings: OpenLineage, default_file: str, token: str | None
) -> EventSink:
    # Imported only if configured, because it takes 0.15 s; and in the thread that runs the
    # pipeline, because two threads must not import at the same time.
    from prodml.orchestration.events.log_reading import ended_executions, started_not_ended
    from prodml.orchestration.events.openlineage import LineageEvents
    from prodml.orchestration.events.openlineage_sinks import LineageFile, LineageServer

    def warn(message: str) -> None:
        print(f"warning: {message}", file=sys.stderr)
        try:
            run_logger(log_dir, run=run_id).warning("openlineage_incomplete", message=message)
        except OSError:
            return

    lineage = LineageEvents(
        settings.namespace, started_not_ended(log_dir), ended_executions(log_dir)
    )
    if settings.url is None:
        return LineageFile(lineage, settings.path or default_file, warn)
    return LineageServer(
        lineage, settings.url, settings.endpoint, token, settings.timeout_seconds, warn
    )
