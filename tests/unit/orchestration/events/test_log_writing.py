import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from prodml.artifacts import Examples
from prodml.dsl.executor import RowCount
from prodml.orchestration.events.appended_lines import AppendedLines
from prodml.orchestration.events.event import Event, EventKind
from prodml.orchestration.events.log_reading import EventLogReader, started_not_ended
from prodml.orchestration.events.log_writing import EventLog, run_logger
from prodml.secrets import Secret


def an_event(kind: EventKind, **fields: Any) -> Event:
    return Event(kind, 1_800_000_000.25, "run-1", "flights", **fields)


def logged(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]


def test_an_event_is_a_line_with_the_keys_that_have_a_value(tmp_path: Path) -> None:
    log = EventLog(str(tmp_path))
    log.emit(an_event(EventKind.RUN_STARTED))
    log.emit(
        an_event(
            EventKind.NODE_STARTED,
            node_id="Gen",
            execution_id=7,
            attempt=1,
            message="first run",
            log="Gen.log",
        )
    )
    log.emit(
        an_event(
            EventKind.NODE_ENDED,
            node_id="Gen",
            execution_id=7,
            attempt=1,
            state="complete",
            seconds=1.5,
            outputs={"examples": [Examples(uri="/data/1", id=3)], "none": []},
            row_counts=[RowCount("train", 5, 4, {"no label": 1})],
        )
    )
    log.close()
    head = {"timestamp": "2027-01-15T08:00:00.250000Z", "level": "info"}
    run = {"run": "run-1", "pipeline": "flights"}
    assert logged(tmp_path) == [
        {**head, "event": "run_started", **run},
        {
            **head, "event": "node_started", **run, "node": "Gen", "execution": 7, "attempt": 1,
            "message": "first run", "log": "Gen.log",
        },
        {
            **head, "event": "node_ended", **run, "node": "Gen", "execution": 7, "attempt": 1,
            "state": "complete", "seconds": 1.5,
            "outputs": {"examples": [{"id": 3, "uri": "/data/1"}]},
            "rows": [{"split": "train", "read": 5, "written": 4, "dropped": {"no label": 1}}],
        },
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (an_event(EventKind.NODE_RETRIED, state="failed"), "warning"),
        (an_event(EventKind.NODE_ENDED, state="failed"), "error"),
        (an_event(EventKind.NODE_ENDED, state="skipped"), "info"),
        (an_event(EventKind.RUN_ENDED, state="CANCELED"), "warning"),
        (an_event(EventKind.RUN_ENDED, state="FAILED"), "error"),
    ],
)
def test_what_went_wrong_has_a_level_of_its_own(tmp_path: Path, event: Event, level: str) -> None:
    EventLog(str(tmp_path)).emit(event)
    assert [line["level"] for line in logged(tmp_path)] == [level]


def test_a_run_that_runs_no_node_is_logged_in_the_same_form_without_structlog(
    tmp_path: Path,
) -> None:
    code = """
import sys
from prodml.orchestration.events.log_writing import EventLog
from prodml.orchestration.events.event import Event, EventKind
log = EventLog(sys.argv[1])
kinds = [EventKind.RUN_STARTED, EventKind.NODE_ENDED, EventKind.RUN_ENDED]
for kind in kinds:
    log.emit(Event(kind, 0.0, "run", "p", state="cached"))
assert "structlog" not in sys.modules
log.emit(Event(EventKind.NODE_STARTED, 0.0, "run", "p"))
assert "structlog" in sys.modules
for kind in kinds:
    log.emit(Event(kind, 0.0, "run", "p", state="cached"))
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert lines[:3] == lines[4:]


def test_logged_events_survive_a_killed_process(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from prodml.orchestration.events.log_writing import EventLog
from prodml.orchestration.events.event import Event, EventKind
EventLog(sys.argv[1]).emit(Event(EventKind.NODE_STARTED, 0.0, "run", "p", "Trainer", 4))
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    assert ended.returncode == -signal.SIGKILL
    assert [event.text("node") for event in started_not_ended(str(tmp_path))] == ["Trainer"]


def test_an_incomplete_line_of_a_killed_process_is_skipped(tmp_path: Path) -> None:
    log = EventLog(str(tmp_path))
    log.emit(an_event(EventKind.RUN_STARTED))
    log.close()
    with open(tmp_path / "events.jsonl", "a") as file:
        file.write('{"event": "node_sta')
    reader = EventLogReader(str(tmp_path))
    assert [event.text("event") for event in reader.read()] == ["run_started"]
    EventLog(str(tmp_path)).emit(an_event(EventKind.RUN_RESUMED))
    assert [event.text("event") for event in reader.read()] == ["run_resumed"]
    assert not reader.has_ended


def test_a_line_that_does_not_fit_on_the_disk_does_not_damage_others(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    lines = AppendedLines(str(path))
    lines.append(b"first")
    # A limit of the process on the size of its files stands in for a full disk.
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        with pytest.raises(OSError, match="only part of a line"):
            lines.append(b"second that is long")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    lines.append(b"third")
    assert path.read_bytes().splitlines() == [b"first", b"seco", b"third"]


def test_secrets_are_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", 'canary "4711"')
    Secret("env:DATABASE_PASSWORD").reveal()
    log = EventLog(str(tmp_path))
    message = 'no login with canary "4711"'
    uri = "s3://bucket/canary%20%224711%22"
    log.emit(
        an_event(EventKind.NODE_ENDED, message=message, outputs={"made": [Examples(uri=uri, id=1)]})
    )
    run_logger(str(tmp_path), run="run-1").warning("database", cause=["x", message])
    assert "4711" not in (tmp_path / "events.jsonl").read_text()
    assert [line.get("cause") for line in logged(tmp_path)] == [None, ["x", "no login with ***"]]


def test_messages_of_the_engine_are_in_the_same_log(tmp_path: Path) -> None:
    EventLog(str(tmp_path)).emit(an_event(EventKind.RUN_STARTED))
    logger = run_logger(str(tmp_path), run="run-1", pipeline="flights")
    logger.warning("waiting", message="the database is busy", seconds=3.0)
    last = logged(tmp_path)[-1]
    assert last.pop("timestamp").endswith("Z")
    assert last == {
        "level": "warning", "event": "waiting", "run": "run-1", "pipeline": "flights",
        "message": "the database is busy", "seconds": 3.0,
    }  # fmt: skip


def test_a_log_that_cannot_be_written_is_reported_once_and_fails_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").write_text("a file where the directory should be")
    log = EventLog(os.path.join(tmp_path, "logs"))
    log.emit(an_event(EventKind.RUN_STARTED))
    log.emit(an_event(EventKind.NODE_STARTED))
    log.close()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: 2 event(s) could not be written to")
