"""A model server in a process of its own: started, watched, and surely ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType

from prodml.errors import ServingError
from prodml.serving import process_guard
from prodml.serving.client import GrpcClient
from prodml.serving.endpoint import Endpoint
from prodml.serving.server_launchers import ServedModel, ServerLauncher

LAST_LINES = 20

_WATCH_SECONDS = 0.05
_DRAIN_SECONDS = 2.0
_EXIT_SECONDS = 1.0
_TAIL_BYTES = 64 * 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")


class ServerProcess:
    """A model server on one model, on free loopback ports. A context manager.

    Entering starts it; leaving ends it and all its children. They end, too, when this process is
    killed.

    Args:
        launcher: the kind of server.
        model: name of the model.
        base_path: directory of the model's versions.
        log_path: file for what the server says.
        tags: of the graph in the SavedModel.
        memory_limit_bytes: resident memory of the server and its children; it is killed above.
        has_rest: whether it answers by REST, too.

    Attributes:
        endpoint: where it answers by gRPC.
        rest_endpoint: where it answers by REST, if it does.

    Raises:
        ConfigError: this machine has no such server.
    """

    def __init__(
        self,
        launcher: ServerLauncher,
        model: str,
        base_path: str,
        log_path: str,
        *,
        tags: Sequence[str] = ("serve",),
        memory_limit_bytes: int | None = None,
        has_rest: bool = False,
    ) -> None:
        port, rest_port = free_ports(2)
        self.endpoint = Endpoint(f"127.0.0.1:{port}")
        self.rest_endpoint = Endpoint(f"127.0.0.1:{rest_port}")
        self._launcher = launcher
        self._model = ServedModel(
            model,
            os.path.abspath(base_path),
            port,
            rest_port if has_rest else 0,
            tags,
            memory_limit_bytes,
        )
        self._log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None
        self._peak_over_limit = 0

    def __enter__(self) -> ServerProcess:
        self._launcher.check()
        command = [sys.executable, "-I", "-S", process_guard.__file__]
        with open(self._log_path, "wb") as log:
            self._process = subprocess.Popen(
                [*command, *self._launcher.command(self._model)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if self._model.memory_limit_bytes is not None:
            self._watcher = threading.Thread(target=self._watch_memory, daemon=True)
            self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._started()
        self._ended.set()
        if self._watcher is not None:
            self._watcher.join()
        if process.poll() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_DRAIN_SECONDS)
        # Also what the server itself has left behind.
        self._signal(signal.SIGKILL)
        process.wait()
        assert process.stdin is not None
        process.stdin.close()

    def wait_until_available(self, timeout_seconds: float) -> int:
        """The version that answers, as soon as it does.

        Raises:
            ServingError: the model did not load, or the server ended, says why; DEADLINE_EXCEEDED
                where neither happened in time.
        """
        with GrpcClient(self.endpoint) as client:
            return client.wait_until_available(
                self._model.name, timeout_seconds=timeout_seconds, check=self.check
            )

    def check(self) -> None:
        """Returns where the server runs.

        Raises:
            ServingError: it has ended. RESOURCE_EXHAUSTED where it was killed for its memory,
                else ABORTED, with its exit code or signal.
        """
        code = self._started().poll()
        if code is None:
            return
        limit = self._model.memory_limit_bytes
        if self._peak_over_limit and limit is not None:
            raise ServingError(
                "RESOURCE_EXHAUSTED",
                f"the server was ended at {_megabytes(self._peak_over_limit)} of memory; its "
                f"limit is {_megabytes(limit)}",
            )
        raise ServingError("ABORTED", f"the server {ending(code)}")

    def check_after_failure(self, error: ServingError) -> None:
        """The same after a request failed: where the connection broke, the server may be gone in a
        moment."""
        if error.code == "UNAVAILABLE":
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._started().wait(_EXIT_SECONDS)
        self.check()

    def last_words(self) -> str:
        """The last lines of what the server said; of a traceback, its last line."""
        with open(self._log_path, "rb") as log:
            log.seek(max(0, os.path.getsize(self._log_path) - _TAIL_BYTES))
            text = log.read().decode(errors="replace")
        return "\n".join(without_tracebacks(text.splitlines())[-LAST_LINES:])

    def resident_bytes(self) -> int:
        """Memory that the server and its children hold now."""
        return _resident_bytes(self._started().pid)

    def _started(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server was not started"
        return self._process

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._started().pid, number)

    def _watch_memory(self) -> None:
        limit = self._model.memory_limit_bytes
        assert limit is not None
        while not self._ended.wait(_WATCH_SECONDS):
            held = self.resident_bytes()
            if held > limit:
                self._peak_over_limit = held
                self._signal(signal.SIGKILL)
                return


def free_ports(count: int) -> list[int]:
    """Loopback ports that nothing listens on now, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def ending(code: int) -> str:
    """How a process ended: `was killed by SIGSEGV`, `ended with exit code 1`.

    Args:
        code: as subprocess has it, a negative signal number, or as shells and Docker have it.
    """
    number = -code if code < 0 else code - 128
    if code < 0 or code > 128:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(number).name}"
    return f"ended with exit code {code}"


def without_tracebacks(lines: Sequence[str]) -> list[str]:
    """The lines, with only the last one of each Python traceback, and no empty ones."""
    kept, inside = [], False
    for line in lines:
        if line.startswith("Traceback (most recent call last)"):
            inside = True
        elif inside and (line.startswith(" ") or not line.strip()):
            continue
        elif line.strip():
            inside = False
            kept.append(line)
    return kept


def _resident_bytes(group: int) -> int:
    """Memory of all processes of a group; those that end meanwhile count no more."""
    total = 0
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError, IndexError, ValueError):
                with open(f"/proc/{name}/stat", "rb") as file:
                    # The command's name stands in parentheses and may hold anything.
                    fields = file.read().rpartition(b")")[2].split()
                if int(fields[2]) == group:
                    total += int(fields[21]) * _PAGE
    return total


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
