"""The process that reads and writes large JSON, run as the server runs it."""

import socket
import subprocess
import sys


def test_the_process_closes_its_connection_when_the_server_is_gone():
    ours, theirs = socket.socketpair()
    ours.close()
    python = [sys.executable, "-W", "always::ResourceWarning"]
    with theirs:
        ended = subprocess.run(
            [*python, "-m", "prodml.serving.rest_api.json_worker"],
            stdin=theirs.fileno(),
            capture_output=True,
            text=True,
        )
    assert (ended.returncode, ended.stderr) == (0, "")
