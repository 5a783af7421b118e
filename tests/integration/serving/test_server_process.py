"""The end of a server's process: the error that reports it, and the guarantee that it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.processes import wait_until_gone

from prodml.errors import ServingError
from prodml.processes.watched_process import describe_exit
from prodml.serving.processes.server_launchers import Binary
from prodml.serving.processes.server_process import ServerProcess, without_tracebacks


def process(tmp_path: Path, script: str, **limits: int) -> ServerProcess:
    server = tmp_path / "server"
    server.write_text(f"#!/bin/sh\n{script}\n")
    server.chmod(0o755)
    return ServerProcess(Binary(str(server)), "m", str(tmp_path), str(tmp_path / "log"), **limits)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo no such model >&2; exit 3", "the server ended with exit code 3"),
        ("exit 137", "the server was killed by SIGKILL"),
        ("ulimit -c 0; kill -ABRT $$", "the server was killed by SIGABRT"),
    ],
)
def test_a_server_that_ends_is_noticed_at_once(tmp_path: Path, script: str, expected: str) -> None:
    started = time.monotonic()
    with process(tmp_path, script) as server:
        with pytest.raises(ServingError, match=expected) as raised:
            server.wait_until_available(60)
        assert raised.value.code == "ABORTED"
        if "echo" in script:
            assert server.last_output() == "no such model"
    assert time.monotonic() - started < 10


def test_a_server_above_its_memory_is_ended_with_its_children(tmp_path: Path) -> None:
    eat = f"{sys.executable} -c 'import time; x = bytearray(400_000_000); time.sleep(60)' & wait"
    with process(tmp_path, eat, memory_limit_bytes=200_000_000) as server:
        with pytest.raises(ServingError, match="its limit is 200 MB") as raised:
            server.wait_until_available(60)
        assert raised.value.code == "RESOURCE_EXHAUSTED"


def test_exit_kills_a_server_that_ignores_sigterm_and_its_children(tmp_path: Path) -> None:
    stubborn = "trap '' TERM; echo $$; sleep 60 & echo $!; while :; do wait; done"
    with process(tmp_path, stubborn) as server:
        pids = _pids(tmp_path / "log", 2)
        assert server.resident_bytes() > 0
    wait_until_gone(pids)


def test_a_server_ends_when_its_parent_process_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "server"
    script.write_text("#!/bin/sh\necho $$\nsleep 60 &\necho $!\nwait\n")
    script.chmod(0o755)
    starter = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\n"
            "from prodml.serving.processes.server_launchers import Binary\n"
            "from prodml.serving.processes.server_process import ServerProcess\n"
            f"with ServerProcess(Binary({str(script)!r}), 'm', '.', {str(tmp_path / 'log')!r}):\n"
            "    time.sleep(60)\n",
        ],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    pids = _pids(tmp_path / "log", 2)
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    wait_until_gone(pids)


def test_the_error_names_the_signal_or_exit_code() -> None:
    assert describe_exit(-11) == "was killed by SIGSEGV"
    assert describe_exit(134) == "was killed by SIGABRT"
    assert describe_exit(255) == "ended with exit code 255"


def test_of_a_traceback_only_its_last_line_is_kept() -> None:
    said = [
        "Loading",
        "Traceback (most recent call last):",
        '  File "server.py", line 1, in <module>',
        "    load()",
        "ValueError: no such model",
        "",
        "Stopped",
    ]
    assert without_tracebacks(said) == ["Loading", "ValueError: no such model", "Stopped"]


def _pids(log: Path, count: int) -> list[int]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            found = [int(line) for line in log.read_text().splitlines()]
            if len(found) == count:
                return found
        time.sleep(0.01)
    raise AssertionError(f"{log} does not name {count} processes")
