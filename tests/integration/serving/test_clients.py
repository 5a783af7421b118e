"""Both clients against a real server."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from support.served_models import Scorer, save
from tensorflow_serving.config import model_server_config_pb2

from prodml.errors import ConfigError, ServingError
from prodml.serving.clients.endpoint import Endpoint, TlsFiles
from prodml.serving.clients.grpc_client import GrpcClient
from prodml.serving.clients.rest_client import RestClient
from prodml.serving.processes.server_launchers import Embedded
from prodml.serving.processes.server_process import ServerProcess, free_ports

COLUMNS = {"distance": np.float32([[1000.0]]), "hour": [[12]], "origin": [["EWR"]]}
ORIGINS = tf.train.Example(
    features=tf.train.Features(
        feature={"origin": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"EWR"]))}
    )
).SerializeToString()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served")
    base = root / "late"
    model = save(Scorer(), root / "model")
    shutil.copytree(model.serving_model_dir, base / "3")
    return base


@pytest.fixture(scope="module")
def server(base: Path) -> Iterator[ServerProcess]:
    log = str(base.parent / "server.log")
    with ServerProcess(Embedded(), "late", str(base), log, has_rest=True) as server:
        assert server.wait_until_available(60) == 3
        yield server


@pytest.fixture(params=["grpc", "rest"])
def client(server: ServerProcess, request: pytest.FixtureRequest) -> Iterator[Any]:
    made: Any = (
        GrpcClient(server.endpoint) if request.param == "grpc" else RestClient(server.rest_endpoint)
    )
    with made:
        yield made


def test_arrays_go_in_and_come_out_by_name(client: Any) -> None:
    by_columns = client.predict("late", COLUMNS, version=3, signature="serving_raw")
    assert by_columns["scores"].dtype == np.float32
    np.testing.assert_allclose(by_columns["scores"], [[0.25 + 0.5 + 1.0]])
    by_examples = client.predict("late", {"examples": [ORIGINS, b""]})
    np.testing.assert_allclose(by_examples["scores"], [[1.0], [0.0]])


def test_metadata_and_status_describe_the_version(client: Any) -> None:
    signature = client.metadata("late")["serving_raw"]
    assert set(signature.inputs) == set(COLUMNS)
    assert signature.inputs["hour"].dtype == tf.int64.as_datatype_enum
    assert list(client.status("late")) == [3]


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        ({"version": 4}, "NOT_FOUND", "Servable not found for request: Specific(late, 4)"),
        ({"signature": "nope"}, "", '"nope"'),
    ],
)
def test_an_error_has_the_servers_code_and_text(
    client: Any, asked: dict[str, Any], code: str, message: str
) -> None:
    with pytest.raises(ServingError, match=re.escape(message)) as raised:
        client.predict("late", {"examples": [b""]}, **asked)
    # HTTP has one code where gRPC has two.
    assert raised.value.code in ([code] if code else ["FAILED_PRECONDITION", "INVALID_ARGUMENT"])


def test_an_unreachable_server_is_unavailable() -> None:
    (port,) = free_ports(1)
    for made in (GrpcClient(f"127.0.0.1:{port}", 5), RestClient(f"127.0.0.1:{port}", 5)):
        with made as client, pytest.raises(ServingError) as raised:
            client.metadata("late")
        assert raised.value.code == "UNAVAILABLE"


def test_an_invalid_address_is_rejected() -> None:
    for address in ("localhost", "localhost:0", ":8500", "http://localhost:8500/v1"):
        with pytest.raises(ConfigError, match="write host:port"):
            GrpcClient(address)


def test_waiting_ends_at_once_if_a_version_cannot_be_loaded(
    server: ServerProcess, base: Path
) -> None:
    broken = base.parent / "broken"
    shutil.copytree(base / "3", broken / "1")
    shutil.rmtree(broken / "1" / "variables")
    config = model_server_config_pb2.ModelServerConfig()
    for name in ("late", "broken"):
        config.model_config_list.config.add(
            name=name, base_path=str(base.parent / name), model_platform="tensorflow"
        )
    with GrpcClient(server.endpoint) as client:
        with contextlib.suppress(ServingError):  # A server may report it at once.
            client.reload_config(config)
        with pytest.raises(ServingError) as raised:
            client.wait_until_available("broken", timeout_seconds=60)
        assert raised.value.code != "DEADLINE_EXCEEDED"
        assert client.wait_until_available("late", 3, 10) == 3
        with pytest.raises(ServingError, match="not available after 0.5 s") as late:
            client.wait_until_available("late", 4, timeout_seconds=0.5)
        assert late.value.code == "DEADLINE_EXCEEDED"


def test_tls_with_a_client_certificate(base: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    files = TlsFiles(*(str(tmp_path / name) for name in ("cert.pem", "cert.pem", "key.pem")))
    certificate, key = ((tmp_path / n).read_text() for n in ("cert.pem", "key.pem"))
    (tmp_path / "ssl.pbtxt").write_text(
        f"server_key: {key!r} server_cert: {certificate!r} custom_ca: {certificate!r}"
        f" client_verify: true"
    )

    class Secured(Embedded):
        def command(self, model: Any) -> list[str]:
            return [*super().command(model), f"--ssl_config_file={tmp_path}/ssl.pbtxt"]

    with ServerProcess(Secured(), "late", str(base), str(tmp_path / "log")) as server:
        address = server.endpoint.address
        with GrpcClient(Endpoint(address, files)) as client:
            client.wait_until_available("late", 3, 60, check=server.check)
            assert client.predict("late", {"examples": [ORIGINS]})["scores"] == [[1.0]]
        with (
            GrpcClient(Endpoint(address, TlsFiles(ca=files.ca)), 5) as stranger,
            pytest.raises(ServingError) as raised,
        ):
            stranger.status("late")
        assert raised.value.code == "UNAVAILABLE"


def test_half_of_a_client_certificate_is_refused() -> None:
    with pytest.raises(ConfigError, match="set both the client certificate and its key"):
        GrpcClient(Endpoint("localhost:1", TlsFiles(certificate="cert.pem")))
