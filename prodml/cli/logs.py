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

# Looked at again this often: what a person sees as at once. Being told by the kernel (inotify)
# would work on neither network filesystems nor macOS, and two stat calls a second cost nothing.
_WAIT_SECONDS = 0.25
_LOOKS_BETWEEN_STORE_READS = 8


class Level(StrEnum):
    """The least level shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def logs(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run id, or 'latest'.")],
    node: Annotated[
        str | None,
        typer.Argument(metavar="NODE", help="A node: all that it printed, in every attempt."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")
    ] = False,
    level: Annotated[
        Level, typer.Option("--level", help="Only events of this level and above.")
    ] = Level.INFO,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Show what happened in a run, event by event, or what one of its nodes printed."""
    import os

    from prodml.cli import options
    from prodml.config import load_config
    from prodml.errors import RequestError
    from prodml.names import RULE, is_name

    if node is not None and json:
        raise RequestError("--json is for the events of a run; what a node printed is plain text")
    if node is not None and not is_name(node):
        raise RequestError(f"{node!r} is no name of a node: {RULE}")
    loaded = load_config(config)
    reader = options.require_reader(loaded)
    found = _find(reader, run)
    log_dir = os.path.join(loaded.logs_path, found.run_id)

    def has_ended() -> bool:
        """Whether the store says so; a run whose process died is recorded as ended by asking."""
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
        raise NotFoundError(f"run {record.run_id!r} was not made by prodml, it has no logs")
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
        _until_the_end(show_new, lambda: events.has_ended, has_ended)
    else:
        show_new()
    if not number:
        raise NotFoundError(
            f"no events in {log_dir}; the run was made on another machine, with another home, or "
            f"its logs are gone"
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
        # The store is asked once, and then what happens is read from the event log.
        for event in events.read():
            if event.text("node") == node and event.text("log"):
                add(event.text("log"))
        for file, output in files.values():
            sys.stdout.write(output.feed(file.read()))
        sys.stdout.flush()

    def add(log: str) -> None:
        # By name alone: the log directory may have moved, and must not be left.
        name = os.path.basename(log)
        files.setdefault(name, (GrowingFile(os.path.join(log_dir, name)), PlainOutput()))

    for execution in reader.executions_of_run(run.run_id):
        if execution.node_id == node and execution.properties.get("log"):
            add(str(execution.properties["log"]))
    if os.path.exists(os.path.join(log_dir, f"{node}.log")):
        add(f"{node}.log")
    if follow:
        _until_the_end(show_new, lambda: events.has_ended, has_ended)
    else:
        show_new()
    for _, output in files.values():
        sys.stdout.write(output.end())
    if not any(os.path.exists(file.path) for file, _ in files.values()):
        raise _without_output(reader, run, log_dir, node)


def _without_output(reader: LineageReader, run: RunRecord, log_dir: str, node: str) -> Exception:
    import os

    from prodml.errors import NotFoundError

    executions = reader.executions_of_run(run.run_id)
    try:
        names = {name.removesuffix(".log") for name in os.listdir(log_dir) if ".log" in name}
    except FileNotFoundError:
        names = set()
    there = f"there is output of: {', '.join(sorted(names)) or 'no node'}"
    of_node = [execution for execution in executions if execution.node_id == node]
    if of_node:
        state = of_node[-1].state.lower()
        return NotFoundError(f"{node} printed nothing in run {run.run_id}: {state}; {there}")
    return NotFoundError(f"run {run.run_id} has no output of a node {node!r}; {there}")


def _until_the_end(
    show_new: Callable[[], None], is_told: Callable[[], bool], has_ended: Callable[[], bool]
) -> None:
    """Shows what comes until the event log or, where its process was killed, the store says that
    the run has ended."""
    import itertools
    import time

    for look in itertools.count():
        show_new()
        if is_told() or (look % _LOOKS_BETWEEN_STORE_READS == 0 and has_ended()):
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
    """`12:30:01  Trainer  ended: complete, 12 s  preprocessing_fn changed`."""
    text = f"{_local_time(event.text('timestamp'))}  {event.text('node') or 'run'}  {_what(event)}"
    message, *rest = event.text("message").splitlines() or [""]
    return f"{text}  {message}{' ...' if rest else ''}" if message else text


def _what(event: LoggedEvent) -> str:
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
