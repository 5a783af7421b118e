"""Runs a model server in a separate process, and guarantees that the process ends."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from types import TracebackType

from prodml.errors import ServingError
from prodml.processes.watched_process import WatchedProcess, describe_exit, megabytes
from prodml.serving.clients.endpoint import Endpoint
from prodml.serving.clients.grpc_client import GrpcClient
from prodml.serving.processes.server_launchers import ServedModel, ServerLauncher

LAST_LINES = 20

_DRAIN_SECONDS = 2.0
_EXIT_SECONDS = 1.0
_TAIL_BYTES = 64 * 1024


class ServerProcess:
    """A model server on one model, on free loopback ports. A context manager.

    Entering the context starts the server; exiting stops it and all its children. They are killed,
    too, if this process is killed.

    Args:
        launcher: starts the server.
        model: name of the model.
        base_path: directory of the model's versions.
        log_path: file for the server's output.
        tags: tags of the graph in the SavedModel.
        memory_limit_bytes: limit on the resident memory of the server and its children; the server
            is killed if it exceeds the limit.
        has_rest: whether the server also answers by REST.

    Attributes:
        endpoint: the server's gRPC address.
        rest_endpoint: the server's REST address, if `has_rest`.

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
        self._process: WatchedProcess | None = None

    def __enter__(self) -> ServerProcess:
        self._launcher.check()
        with open(self._log_path, "wb") as log:
            self._process = WatchedProcess(
                self._launcher.command(self._model),
                log,
                memory_limit_bytes=self._model.memory_limit_bytes,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running().stop(_DRAIN_SECONDS)

    def wait_until_available(self, timeout_seconds: float) -> int:
        """Waits until a version is available and returns its number.

        Raises:
            ServingError: the model did not load or the server ended, with the reason;
                DEADLINE_EXCEEDED after the timeout.
        """
        with GrpcClient(self.endpoint) as client:
            return client.wait_until_available(
                self._model.name, timeout_seconds=timeout_seconds, check=self.check
            )

    def check(self) -> None:
        """Checks that the server is running.

        Raises:
            ServingError: the server has ended. RESOURCE_EXHAUSTED if it was killed for its memory,
                otherwise ABORTED, with its exit code or signal.
        """
        process = self._running()
        code = process.poll()
        if code is None:
            return
        limit = self._model.memory_limit_bytes
        if process.bytes_over_limit and limit is not None:
            raise ServingError(
                "RESOURCE_EXHAUSTED",
                f"the server was killed at {megabytes(process.bytes_over_limit)} of memory; its "
                f"limit is {megabytes(limit)}",
            )
        raise ServingError("ABORTED", f"the server {describe_exit(code)}")

    def check_after_failure(self, error: ServingError) -> None:
        """Like `check`, after a failed request: if the connection broke, first waits a moment for
        the server to end."""
        if error.code == "UNAVAILABLE":
            self._running().wait(_EXIT_SECONDS)
        self.check()

    def last_output(self) -> str:
        """Returns the last lines of the server's output, with only the last line of a traceback."""
        with open(self._log_path, "rb") as log:
            log.seek(max(0, os.path.getsize(self._log_path) - _TAIL_BYTES))
            text = log.read().decode(errors="replace")
        return "\n".join(without_tracebacks(text.splitlines())[-LAST_LINES:])

    def resident_bytes(self) -> int:
        """Returns the resident memory of the server and its children."""
        return self._running().resident_bytes()

    def _running(self) -> WatchedProcess:
        assert self._process is not None, "the server was not started"
        return self._process


def free_ports(count: int) -> list[int]:
    """Returns different loopback ports that are not in use."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def without_tracebacks(lines: Sequence[str]) -> list[str]:
    """Removes empty lines, and all but the last line of each Python traceback."""
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
