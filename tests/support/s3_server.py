"""An S3 server on loopback: moto's server in a separate process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

from prodml.serving.processes.server_process import free_ports

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "for-tests",
    "AWS_SECRET_ACCESS_KEY": "for-tests",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Runs a server with the bucket `bucket`, and yields its endpoint."""
    (port,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command, env={**os.environ, **ENVIRONMENT}, stdout=quiet, stderr=quiet
    ) as process:
        try:
            _make_bucket(f"{endpoint}/bucket", process)
            yield endpoint
        finally:
            process.terminate()


def _make_bucket(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None and time.monotonic() < deadline
        with contextlib.suppress(OSError):
            urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=5).close()
            return
        time.sleep(0.05)
