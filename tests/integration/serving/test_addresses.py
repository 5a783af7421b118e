"""The addresses that a server listens on, and the clients that it answers there."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from conformance.served import save_tf2
from support import warm
from support.running_server import command, outputs, predict_request, wait_until
from tensorflow_serving.apis import prediction_service_pb2_grpc

from prodml.serving.processes.server_process import free_ports


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("base") / "tf2"
    save_tf2(base / "1")
    return base


@contextlib.contextmanager
def _listening(base: Path, log: Path, *options: str) -> Iterator[tuple[int, int]]:
    """Returns the ports for gRPC and REST of a server that is ready."""
    port, rest_port = free_ports(2)
    ports = (f"--port={port}", f"--rest_api_port={rest_port}")
    models = ("--model_name=tf2", f"--model_base_path={base}")
    with log.open("wb") as output:
        process = warm.Popen(
            command(*ports, *models, *options), libraries=warm.TENSORFLOW, stderr=output
        )
    try:
        wait_until(lambda: "Ready:" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield port, rest_port
    finally:
        process.terminate()
        assert process.wait(60) == 0


def _answers(host: str, port: int, rest_port: int) -> None:
    with grpc.insecure_channel(f"{host}:{port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(predict_request("tf2", x=[2.0]), timeout=20)
        assert outputs(answer)["y"].tolist() == [3.0]
    assert httpx.get(f"http://{host}:{rest_port}/v1/models/tf2").status_code == 200


def _is_open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_server_listens_on_the_loopback_address_alone_unless_it_is_asked_to(
    base: Path, tmp_path: Path
) -> None:
    # All of 127.0.0.0/8 reaches this machine, so another address in it represents a network.
    with _listening(base, tmp_path / "log") as ports:
        _answers("127.0.0.1", *ports)
        assert not any(_is_open("127.0.0.2", port) for port in ports)


@pytest.mark.parametrize(
    ("host", "reached_at"),
    [
        ("0.0.0.0", "127.0.0.2"),
        ("127.0.0.2", "127.0.0.2"),
        ("localhost", "127.0.0.1"),
        ("::1", "[::1]"),
    ],
)
def test_a_server_listens_on_the_address_that_it_is_given(
    base: Path, tmp_path: Path, host: str, reached_at: str
) -> None:
    with _listening(base, tmp_path / "log", f"--host={host}") as ports:
        _answers(reached_at, *ports)


def test_a_socket_that_cannot_be_created_is_named(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "absent" / "grpc.sock"
    ended = warm.run(
        command("--port=0", f"--model_base_path={base}", f"--grpc_socket_path={path}"),
        libraries=warm.TENSORFLOW,
        capture_output=True,
        timeout=60,
    )
    assert ended.returncode == 2
    said = ended.stderr.decode()
    assert f"cannot listen for gRPC on unix:{path}" in said
    assert "Traceback" not in said
