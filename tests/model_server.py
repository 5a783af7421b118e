"""Starts `prodml serve` as its users do, and ends it surely."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prodml.serving.client import GrpcClient
from prodml.serving.server_process import free_ports

READY_SECONDS = 60
STOP_SECONDS = 30


@dataclass
class RunningServer:
    """A server that answers.

    Attributes:
        process: the server.
        address: of gRPC, `host:port`.
        url: of REST, without a path.
        log_path: what it has said.
    """

    process: subprocess.Popen[bytes]
    address: str
    url: str
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def client(self) -> GrpcClient:
        return GrpcClient(self.address)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signals the server and gives its exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)


@contextlib.contextmanager
def running_server(
    directory: Path, *options: str, is_ready: str = "Ready: "
) -> Iterator[RunningServer]:
    """A server with these options, from when it says that it is ready.

    Args:
        directory: where its log goes.
        options: of `prodml serve`, but for the ports.
        is_ready: what it says then.
    """
    port, rest_port = free_ports(2)
    log_path = directory / f"server-{port}.log"
    with open(log_path, "wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "prodml", "serve"),
                *(f"--port={port}", f"--rest_api_port={rest_port}", *options),
            ],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    server = RunningServer(process, f"127.0.0.1:{port}", f"http://127.0.0.1:{rest_port}", log_path)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while is_ready not in server.log:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start:\n{server.log}")
            time.sleep(0.02)
        yield server
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(STOP_SECONDS)
