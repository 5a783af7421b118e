"""Reports about real runs: the event log, `prodml logs`, OpenLineage to files and servers."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support import warm
from support.openlineage_schema import problems

PIPELINE = """
import os, signal, time
from pathlib import Path
from prodml import Input, Output, Parameter, component, pipeline
from prodml.artifacts import Artifact

class Text(Artifact):
    type_name = "Text"

@component
def Make(made: Output[Text]):
    print("noise of Make")
    Path(made.uri, "text").write_text("x")

@component
def Copy(source: Input[Text], copy: Output[Text], how: Parameter[str] = ""):
    print("copying", flush=True)
    if how == "fails":
        raise ValueError("told to fail")
    if how.startswith("waits"):
        while not os.path.exists(how.split()[1]):
            time.sleep(0.05)
    if how.startswith("flaky") and not os.path.exists(how.split()[1]):
        open(how.split()[1], "w").close()
        raise ConnectionResetError("the line is dead")
    if how.startswith("dies") and not os.path.exists(how.split()[1]):
        open(how.split()[1], "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    Path(copy.uri, "text").write_text("x")
    print("copied")

@pipeline(name="texts")
def texts(how: str = ""):
    make = Make()
    Copy(source=make.outputs["made"], how=how)
"""


class Workplace:
    """A directory with a pipeline and its configuration, and the command line."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "texts.py").write_text(PIPELINE)
        self.configure()

    def configure(self, **lineage: Any) -> None:
        events = {"openlineage": lineage} if lineage else {}
        # JSON is YAML.
        config = {"home": str(self.root / "home"), "events": events}
        (self.root / "config.yaml").write_text(json.dumps(config))

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        # Python reads its own variables when it starts.
        has_new_interpreter = any(name.startswith("PYTHON") for name in environment)
        start = subprocess.Popen if has_new_interpreter else warm.Popen
        return start(
            [sys.executable, "-m", "prodml", *arguments, "--config", "config.yaml"],
            cwd=self.root,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def lineage(self) -> list[tuple[str, str]]:
        """Jobs and their final states, from the OpenLineage file."""
        lines = (self.root / "home" / "openlineage.jsonl").read_text().splitlines()
        return told([json.loads(line) for line in lines])


def told(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    assert [problems(event) for event in events] == [[]] * len(events)
    return [(event["job"]["name"], event["eventType"]) for event in events]


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


WHOLE_RUN = [
    ("texts", "START"),
    ("texts.Make", "START"),
    ("texts.Make", "COMPLETE"),
    ("texts.Copy", "START"),
    ("texts.Copy", "COMPLETE"),
    ("texts", "COMPLETE"),
]


def test_runs_are_logged_to_a_file_and_shown(work: Workplace) -> None:
    work.configure(transport="file")
    assert work.run("run", "texts.py").returncode == 0
    assert work.lineage() == WHOLE_RUN
    failed = work.run("run", "texts.py", "--param", "how=fails")
    assert failed.returncode == 1
    assert work.lineage()[6:] == [
        ("texts", "START"),
        ("texts.Make", "START"),
        ("texts.Make", "COMPLETE"),
        ("texts.Copy", "START"),
        ("texts.Copy", "FAIL"),
        ("texts", "FAIL"),
    ]
    shown = work.run("logs", "latest").stdout.splitlines()
    told = [[re.sub(r", [0-9.]+ s$", "", part) for part in line.split("  ")[1:3]] for line in shown]
    assert told[:-1] == [
        ["run", "started"],
        ["Make", "ended: cached"],
        ["Copy", "started"],
        ["Copy", "ended: failed"],
    ]
    assert told[-1][0] == "run"
    assert "told to fail" in shown[3]
    errors = work.run("logs", "latest", "--level", "error", "--json").stdout.splitlines()
    assert [json.loads(line)["event"] for line in errors] == ["node_ended", "run_ended"]
    output = work.run("logs", "latest", "Copy").stdout
    assert output.startswith("copying\n")
    assert "ValueError: told to fail" in output
    # The error names the file.
    log = failed.stderr.split("its output is in ")[1].splitlines()[0]
    assert (work.root / log).read_text() == output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], r"run 'nothing' does not exist"),
        (["latest", "Nothing"], r"has no output of a node 'Nothing'; nodes with output: Copy, Ma"),
        (["latest", "../Make"], r"'../Make' is not a valid node name"),
        (["latest", "Make", "--json"], r"--json is for the events"),
    ],
)
def test_an_invalid_request_for_logs_is_rejected_with_a_reason(
    work_with_a_run: Workplace, arguments: list[str], message: str
) -> None:
    answer = work_with_a_run.run("logs", *arguments)
    assert answer.returncode == 2
    assert message in answer.stderr


@pytest.fixture(scope="module")
def work_with_a_run(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    work = Workplace(tmp_path_factory.mktemp("work"))
    assert work.run("run", "texts.py").returncode == 0
    return work


def test_a_fully_cached_run_is_logged_without_importing_structlog_or_openlineage(
    work_with_a_run: Workplace,
) -> None:
    ran = work_with_a_run.run("run", "texts.py", PYTHONPROFILEIMPORTTIME="1")
    assert "2 cached" in ran.stdout
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "prodml.orchestration.events.log_writing" in imported
    assert not imported & {"structlog", "openlineage.client", "requests"}
    shown = work_with_a_run.run("logs", "latest").stdout
    assert shown.count("ended: cached") == 2


def test_following_ends_with_the_run(work: Workplace) -> None:
    gate = work.root / "gate"
    running = work.start("run", "texts.py", "--param", f"how=waits {gate}")
    wait_for(lambda: "Copy" in read(work.root / "home/logs", "*/events.jsonl"))
    events = work.start("logs", "latest", "-f")
    output = work.start("logs", "latest", "Copy", "-f")
    assert output.stdout is not None and events.stdout is not None
    assert output.stdout.readline() == "copying\n"
    gate.touch()
    assert output.communicate(timeout=30)[0] == "copied\n"
    assert "run  ended: complete" in events.communicate(timeout=30)[0].splitlines()[-1]
    assert (events.returncode, output.returncode) == (0, 0)
    running.communicate(timeout=60)


def test_a_killed_run_is_shown_followed_to_its_end_and_resumed_under_its_id(
    work: Workplace,
) -> None:
    work.configure(transport="file")
    died = work.run("run", "texts.py", "--param", f"how=dies {work.root / 'died'}")
    assert died.returncode == -signal.SIGKILL
    followed = work.run("logs", "latest", "-f")
    assert followed.stdout.splitlines()[-1].split("  ")[1:3] == ["Copy", "started"]
    assert work.run("logs", "latest", "Copy", "-f").stdout == "copying\n"
    assert work.run("run", "--resume").returncode == 0
    assert work.lineage() == [
        *WHOLE_RUN[:4],
        ("texts.Copy", "ABORT"),
        ("texts", "START"),
        *WHOLE_RUN[3:],
    ]
    attempts = work.run("logs", "latest", "Copy").stdout
    assert attempts.count("copying") == 2
    assert attempts.endswith("copied\n")


def test_every_attempt_is_logged_with_its_output(work: Workplace) -> None:
    work.configure(transport="file")
    ran = work.run(
        "run", "texts.py", "--param", f"how=flaky {work.root / 'tried'}",
        PRODML_RETRY__WAIT_SECONDS="0.01",
    )  # fmt: skip
    assert ran.returncode == 0
    assert work.lineage() == [*WHOLE_RUN[:4], ("texts.Copy", "FAIL"), *WHOLE_RUN[3:]]
    (warning,) = work.run("logs", "latest", "--level", "warning").stdout.splitlines()
    assert "Copy  retried: failed, " in warning
    assert "the line is dead" in warning
    output = work.run("logs", "latest", "Copy").stdout
    assert output.count("copying") == 2
    assert "ConnectionResetError: the line is dead" in output


def test_a_cancelled_run_leaves_nothing_open(work: Workplace) -> None:
    work.configure(transport="file")
    running = work.start("run", "texts.py", "--param", "how=waits nowhere")
    wait_for(lambda: "copying" in read(work.root / "home/logs", "*/Copy.log"))
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == 130
    assert work.lineage() == [*WHOLE_RUN[:4], ("texts.Copy", "ABORT"), ("texts", "ABORT")]
    last = work.run("logs", "latest", "-f").stdout.splitlines()[-1]
    assert "run  ended: canceled" in last


class Receiver:
    """An HTTP server on loopback, and what it was sent."""

    def __init__(self, status: int) -> None:
        self.events: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.tokens.add(self.headers["Authorization"])
                assert self.path == "/api/v1/lineage"
                receiver.events.append(json.loads(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *values: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def serving(self) -> Iterator[None]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


def test_runs_are_sent_to_a_server_with_the_token(work: Workplace) -> None:
    receiver = Receiver(201)
    work.configure(transport="http", url=receiver.url, token="env:LINEAGE_TOKEN")
    refused = work.run("run", "texts.py")
    assert refused.returncode == 2
    assert "the environment variable LINEAGE_TOKEN is not set" in refused.stderr
    with receiver.serving():
        ran = work.run("run", "texts.py", LINEAGE_TOKEN="canary-4711")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert told(receiver.events) == WHOLE_RUN
    assert receiver.tokens == {"Bearer canary-4711"}
    for path in (work.root / "home").rglob("*"):
        assert path.is_dir() or b"canary-4711" not in path.read_bytes()


def test_a_server_that_responds_500_is_reported_once(work: Workplace) -> None:
    receiver = Receiver(500)
    work.configure(transport="http", url=receiver.url, timeout_seconds=5)
    with receiver.serving():
        ran = work.run("run", "texts.py")
    assert ran.returncode == 0
    (warning,) = ran.stderr.splitlines()
    assert warning == (
        f"warning: 6 of 6 OpenLineage event(s) were not sent to {receiver.url}: "
        f"it answered 500 Internal Server Error"
    )
    logged = work.run("logs", "latest", "--level", "warning").stdout
    assert "openlineage incomplete" in logged


def test_an_unreachable_server_is_reported_once(work: Workplace) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        # Bound, but not listening: no other process gets the port, and connections are refused.
        work.configure(transport="http", url=url)
        ran = work.run("run", "texts.py")
    assert ran.returncode == 0
    (warning,) = ran.stderr.splitlines()
    assert warning.endswith(f"not sent to {url}: ConnectionError")


def test_a_server_that_hangs_delays_a_run_only_for_its_timeout(
    work: Workplace,
) -> None:
    assert work.run("run", "texts.py").returncode == 0
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        work.configure(transport="http", url=url, timeout_seconds=1)
        started = time.monotonic()
        ran = work.run("run", "texts.py")
        seconds = time.monotonic() - started
    assert ran.returncode == 0
    (warning,) = ran.stderr.splitlines()
    assert f"6 of 6 OpenLineage event(s) were not sent to {url}" in warning
    assert seconds < 20


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def read(directory: Path, pattern: str) -> str:
    return "".join(path.read_text() for path in directory.glob(pattern))
