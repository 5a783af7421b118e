"""`prodml logs`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from prodml.cli.options import ConfigFile, Json
from prodml.cli.terminal import PlainOutput, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from prodml.metadata.reading import LineageReader
    from prodml.metadata.records import RunRecord
    from prodml.orchestration.events.log_reading import LoggedEvent

# Poll interval, short enough to look immediate. Notifications by the kernel (inotify) work on
# neither network filesystems nor macOS, and a few stat calls a second cost nothing.
_WAIT_SECONDS = 0.25
_POLLS_BETWEEN_STORE_READS = 8


class Level(StrEnum):
    """The lowest level that is shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def logs(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run id, or 'latest'.")],
    node: Annotated[
        str | None,
        typer.Argument(metavar="NODE", help="Show the output of this node, of all attempts."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep printing until the run has ended.")
    ] = False,
    level: Annotated[
        Level, typer.Option("--level", help="Only events of this level and above.")
    ] = Level.INFO,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Show the events of a run, or the output of one of its nodes."""
    import os

    from prodml.cli import options
    from prodml.config import load_config
    from prodml.errors import RequestError
    from prodml.names import RULE, is_name

    if node is not None and json:
        raise RequestError("--json is for the events of a run; the output of a node is plain text")
    if node is not None and not is_name(node):
        raise RequestError(f"{node!r} is not a valid node name: {RULE}")
    loaded = load_config(config)
    reader = options.require_reader(loaded)
    found = _find(reader, run)
    log_dir = os.path.join(loaded.logs_path, found.run_id)

    def has_ended() -> bool:
        """Returns whether the run has ended; reading the store also records dead runs as ended."""
        return _state(options.require_reader(loaded), found.run_id) != "RUNNING"

    if node is None:
        _show_events(log_dir, has_ended, follow, level, json)
    else:
        _show_output(reader, found, log_dir, node, has_ended, follow)


def _find(reader: LineageReader, run: str) -> RunRecord:
    from prodml.errors import NotFoundError
    from prodml.names import is_name

    if run != "latest":
        record = reader.run(run)
    else:
        newest = reader.runs(1)
        if not newest:
            raise NotFoundError("there are no runs yet")
        record = newest[0]
    if not is_name(record.run_id):
        raise NotFoundError(f"run {record.run_id!r} is not a run of prodml and has no logs")
    return record


def _state(reader: LineageReader, run_id: str) -> str:
    return str(reader.run(run_id).state)


def _show_events(
    log_dir: str, has_ended: Callable[[], bool], follow: bool, level: Level, json: bool
) -> None:
    from prodml.errors import NotFoundError
    from prodml.orchestration.events.log_reading import EventLogReader
    from prodml.orchestration.events.log_writing import LEVELS

    events = EventLogReader(log_dir)
    shown = LEVELS[LEVELS.index(level) :]
    number = 0

    def show_new() -> None:
        nonlocal number
        for event in events.read():
            number += 1
            if event.text("level") in shown:
                _show(event, json, follow)

    if follow:
        _poll_until_run_ends(show_new, lambda: events.has_ended, has_ended)
    else:
        show_new()
    if not number:
        raise NotFoundError(
            f"no events in {log_dir}; the run was started on another machine, with another home, "
            f"or its logs were deleted"
        )


def _show_output(
    reader: LineageReader,
    run: RunRecord,
    log_dir: str,
    node: str,
    has_ended: Callable[[], bool],
    follow: bool,
) -> None:
    import os
    import sys

    from prodml.orchestration.events.appended_lines import GrowingFile
    from prodml.orchestration.events.log_reading import EventLogReader

    files: dict[str, tuple[GrowingFile, PlainOutput]] = {}
    events = EventLogReader(log_dir)

    def show_new() -> None:
        # The store is read once, below; the event log has everything that happens later.
        for event in events.read():
            if event.text("node") == node and event.text("log"):
                add(event.text("log"))
        for file, output in files.values():
            sys.stdout.write(output.feed(file.read()))
        sys.stdout.flush()

    def add(log: str) -> None:
        # Only the file name counts: the log directory may have moved, and no file outside is read.
        name = os.path.basename(log)
        files.setdefault(name, (GrowingFile(os.path.join(log_dir, name)), PlainOutput()))

    for execution in reader.executions_of_run(run.run_id):
        if execution.node_id == node and execution.properties.get("log"):
            add(str(execution.properties["log"]))
    if os.path.exists(os.path.join(log_dir, f"{node}.log")):
        add(f"{node}.log")
    if follow:
        _poll_until_run_ends(show_new, lambda: events.has_ended, has_ended)
    else:
        show_new()
    for _, output in files.values():
        sys.stdout.write(output.end())
    if not any(os.path.exists(file.path) for file, _ in files.values()):
        raise _no_output(reader, run, log_dir, node)


def _no_output(reader: LineageReader, run: RunRecord, log_dir: str, node: str) -> Exception:
    import os

    from prodml.errors import NotFoundError

    executions = reader.executions_of_run(run.run_id)
    try:
        names = {name.removesuffix(".log") for name in os.listdir(log_dir) if ".log" in name}
    except FileNotFoundError:
        names = set()
    available = f"nodes with output: {', '.join(sorted(names)) or 'none'}"
    of_node = [execution for execution in executions if execution.node_id == node]
    if of_node:
        state = of_node[-1].state.lower()
        return NotFoundError(f"{node} printed nothing in run {run.run_id}: {state}; {available}")
    return NotFoundError(f"run {run.run_id} has no output of a node {node!r}; {available}")


def _poll_until_run_ends(
    show_new: Callable[[], None], log_has_end: Callable[[], bool], has_ended: Callable[[], bool]
) -> None:
    """Calls `show_new` until the run has ended.

    The event log records the end; if the process of the run was killed, only the store does.
    """
    import itertools
    import time

    for poll in itertools.count():
        show_new()
        if log_has_end() or (poll % _POLLS_BETWEEN_STORE_READS == 0 and has_ended()):
            break
        time.sleep(_WAIT_SECONDS)
    show_new()


_COLOURS = {"warning": "yellow", "error": "red"}


def _show(event: LoggedEvent, json: bool, flush: bool) -> None:
    from prodml.cli.printing import print_json_text

    if json:
        print_json_text(event.line, flush)
    else:
        say(_line(event), colour=_COLOURS.get(event.text("level")), flush=flush)


def _line(event: LoggedEvent) -> str:
    """Formats an event: `12:30:01  Trainer  ended: complete, 12 s  preprocessing_fn changed`."""
    head = f"{_local_time(event.text('timestamp'))}  {event.text('node') or 'run'}"
    text = f"{head}  {_summary(event)}"
    message, *rest = event.text("message").splitlines() or [""]
    return f"{text}  {message}{' ...' if rest else ''}" if message else text


def _summary(event: LoggedEvent) -> str:
    from prodml.cli.printing import seconds_text

    what = event.text("event").removeprefix("run_").removeprefix("node_").replace("_", " ")
    details = []
    if event.fields.get("attempt", 1) != 1:
        details.append(f"attempt {event.text('attempt')}")
    if event.text("state"):
        details.append(event.text("state").lower())
    if "seconds" in event.fields:
        details.append(seconds_text(float(event.text("seconds"))))
    return f"{what}: {', '.join(details)}" if details else what


def _local_time(timestamp: str) -> str:
    import datetime

    try:
        moment = datetime.datetime.fromisoformat(timestamp)
    except ValueError:
        return timestamp
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
