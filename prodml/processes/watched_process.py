"""A child process with a memory limit that is always ended, together with all its children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import IO

from prodml.processes import parent_watch

_WATCH_SECONDS = 0.05
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Not a `PRODML_` variable: those are configuration, also of a `prodml` that the command runs.
_MARKS = "_PRODML_WATCHED_BY"


class WatchedProcess:
    """A running command in its own session.

    The command is ended, with all its children, when `stop` is called, when it exceeds its memory
    limit, and when this process dies for whatever reason. A child that has created its own session
    is found by a mark in its environment, which lists all watched processes that it runs in.

    Args:
        command: the command to run.
        output: file or descriptor for the command's standard output and error.
        environment: variables to add to this process's environment.
        memory_limit_bytes: maximum resident memory of the command and its children; None for no
            limit.
        pass_fds: descriptors that the command inherits.
    """

    def __init__(
        self,
        command: Sequence[str],
        output: IO[bytes] | int,
        *,
        environment: Mapping[str, str] | None = None,
        memory_limit_bytes: int | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._mark = uuid.uuid4().hex
        self._ended = threading.Event()
        self.bytes_over_limit = 0
        """Resident memory when the command was killed for exceeding the limit; 0 otherwise."""
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", parent_watch.__file__, *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {}), _MARKS: self._marks()},
            pass_fds=pass_fds,
            start_new_session=True,
        )
        self._watcher: threading.Thread | None = None
        if memory_limit_bytes is not None:
            self._watcher = threading.Thread(
                target=self._watch_memory, args=(memory_limit_bytes,), daemon=True
            )
            self._watcher.start()

    def wait(self, timeout_seconds: float | None = None) -> int | None:
        """Waits for the exit code, negative for a signal; None if the timeout is exceeded."""
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return None

    def poll(self) -> int | None:
        """The exit code, or None if the command is still running."""
        return self._process.poll()

    def stop(self, grace_seconds: float) -> None:
        """Sends SIGTERM, then SIGKILL after the grace time, and kills all remaining children."""
        self._ended.set()
        if self._watcher is not None:
            self._watcher.join()
        if self.poll() is None:
            self._signal(signal.SIGTERM)
            self.wait(grace_seconds)
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._kill_strays()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def resident_bytes(self) -> int:
        """The current resident memory of the command and its children."""
        total = 0
        for _, fields in _processes():
            if int(fields[2]) == self._process.pid:
                total += int(fields[21]) * _PAGE
        return total

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _marks(self) -> str:
        """The marks of the watched processes that this process runs in, then the command's."""
        return f"{os.environ.get(_MARKS, '')} {self._mark}".strip()

    def _kill_strays(self) -> None:
        for pid, _ in _processes():
            with contextlib.suppress(OSError):
                if self._mark in _marks_of(pid):
                    os.kill(pid, signal.SIGKILL)

    def _watch_memory(self, limit: int) -> None:
        while not self._ended.wait(_WATCH_SECONDS):
            resident = self.resident_bytes()
            if resident > limit:
                self.bytes_over_limit = resident
                self._signal(signal.SIGKILL)
                return


def describe_exit(code: int) -> str:
    """Describes how a process ended: `was killed by SIGSEGV`, `ended with exit code 1`.

    Args:
        code: exit code; for a signal, the negative number as in subprocess, or 128 plus the number
            as in shells and Docker.
    """
    number = -code if code < 0 else code - 128
    if code < 0 or code > 128:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(number).name}"
    return f"ended with exit code {code}"


def megabytes(size: int) -> str:
    """Formats a size in bytes, such as `812 MB`."""
    return f"{size / 1e6:,.0f} MB"


def _marks_of(pid: int) -> list[str]:
    name = f"{_MARKS}=".encode()
    with open(f"/proc/{pid}/environ", "rb") as file:
        variables = file.read().split(b"\0")
    marks = (v.removeprefix(name).decode() for v in variables if v.startswith(name))
    return next(marks, "").split()


def _processes() -> list[tuple[int, list[bytes]]]:
    """The number of every process, and its status fields from the third on."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                # The command's name is in parentheses and can contain any character.
                fields = file.read().rpartition(b")")[2].split()
                if len(fields) > 21:
                    found.append((int(name), fields))
    return found
