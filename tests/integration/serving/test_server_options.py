"""Options of `prodml serve` for batching, TLS and addresses, and the end of the server."""

import signal
import socket
import subprocess
import urllib.request

import grpc
import pytest
import tensorflow as tf
from support import warm
from support.running_server import (
    Held,
    RunningServer,
    command,
    outputs,
    predict_request,
    refusal,
    running_server,
    save_mixed,
    wait_until,
)
from tensorflow_serving.apis import get_model_status_pb2, prediction_service_pb2_grpc

_GOOD = {"x": [1.0], "n": [2], "s": [b"a"]}
_BATCHING = """
max_batch_size { value: 8 }
batch_timeout_micros { value: 300000 }
num_batch_threads { value: 1 }
max_enqueued_batches { value: 1 }
allowed_batch_sizes: 4
allowed_batch_sizes: 8
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    base = tmp_path_factory.mktemp("base") / "mixed"
    save_mixed(base / "1")
    return base


def _options(base):
    return "--model_name=mixed", f"--model_base_path={base}"


def _together(server: RunningServer, requests):
    """Returns the code or first total of each answer, in order."""
    calls = [server.predictions.Predict.future(request, timeout=30) for request in requests]
    found = []
    for call in calls:
        error = call.exception()
        found.append(error.code().name if error else outputs(call.result())["total"][0])
    return found


@pytest.fixture(scope="module")
def batching(base):
    file = base.parent / "batching.txt"
    file.write_text(_BATCHING)
    monitoring = base.parent / "monitoring.txt"
    monitoring.write_text('prometheus_config { enable: true path: "/metrics" }')
    with running_server(
        base.parent,
        *_options(base),
        "--enable_batching",
        f"--batching_parameters_file={file}",
        f"--monitoring_config_file={monitoring}",
    ) as server:
        yield server


def test_requests_together_are_padded_to_an_allowed_size(batching):
    requests = [predict_request("mixed", x=[float(i)], n=[0], s=[b"a"]) for i in range(3)]
    assert _together(batching, requests) == [0.0, 1.0, 2.0]
    with urllib.request.urlopen(f"http://127.0.0.1:{batching.rest_port}/metrics") as answer:
        metrics = [line for line in answer.read().decode().splitlines() if "padding" in line]
    assert any(line.endswith((" 1", " 1.0")) for line in metrics), metrics


def test_the_metrics_name_the_threads_as_tf_serving_does(base, tmp_path):
    monitoring = base.parent / "monitoring.txt"
    monitoring.write_text('prometheus_config { enable: true path: "/metrics" }')
    options = ("--enable_batching", f"--monitoring_config_file={monitoring}")
    with running_server(tmp_path, *_options(base), *options) as server:
        server.predictions.Predict(predict_request("mixed", **_GOOD), timeout=20)
        with urllib.request.urlopen(f"{server.url}/metrics") as answer:
            assert 'thread_pool_name="model_server_batch_threads"' in answer.read().decode()


@pytest.mark.parametrize("threads", [(1, 2), (2, 1)])
def test_the_larger_number_of_threads_limits_concurrent_calls(base, tmp_path, threads):
    options = (f"--grpc_max_threads={threads[0]}", f"--rest_api_num_threads={threads[1]}")
    with running_server(tmp_path, *_options(base), *options) as server:
        held = []
        for name in "abc":
            (tmp_path / name).mkdir()
            held.append(Held(tmp_path / name))
        calls = [server.predictions.Predict.future(each.request, timeout=30) for each in held[:2]]
        for each in held[:2]:
            each.wait_until_begun()
        calls.append(server.predictions.Predict.future(held[2].request, timeout=30))
        # Requests on one channel arrive in order.
        status = get_model_status_pb2.GetModelStatusRequest()
        status.model_spec.name = "mixed"
        server.models.GetModelStatus(status, timeout=20)
        assert not held[2].has_begun()
        held[0].let_go()
        held[2].wait_until_begun()
        for each in held:
            each.let_go()
        assert [outputs(call.result())["y"].tolist() for call in calls] == [[1.0]] * 3


def test_a_bad_row_fails_alone(batching):
    requests = [predict_request("mixed", x=[v], n=[0], s=[b"a"]) for v in (1.0, 5000.0, 2.0)]
    assert _together(batching, requests) == [1.0, "INVALID_ARGUMENT", 2.0]


def test_a_full_queue_refuses(batching, tmp_path):
    held = Held(tmp_path)
    busy = batching.predictions.Predict.future(held.request, timeout=30)
    held.wait_until_begun()
    # Eight rows wait for the thread in the one batch that may.
    calls = [
        batching.predictions.Predict.future(predict_request("mixed", **_GOOD), timeout=30)
        for _ in range(9)
    ]
    wait_until(lambda: any(call.done() for call in calls))
    (refused,) = [call for call in calls if call.done()]
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    held.let_go()
    answered = [outputs(call.result())["total"][0] for call in calls if call is not refused]
    assert answered == [3.0] * 8
    assert outputs(busy.result())["y"].tolist() == [1.0]


def test_a_request_larger_than_a_batch_is_refused(batching):
    large = predict_request("mixed", x=[1.0] * 9, n=[1] * 9, s=[b""] * 9)
    code, text = refusal(batching.predictions.Predict, large)
    assert (code, text) == (
        "INVALID_ARGUMENT",
        "Task size 9 is larger than maximum input batch size 8",
    )


def test_a_request_in_flight_is_answered_before_the_server_ends(base, tmp_path):
    path = tmp_path / "grpc.sock"
    with running_server(tmp_path, *_options(base), f"--grpc_socket_path={path}") as server:
        with grpc.insecure_channel(f"unix:{path}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            answer = stub.Predict(predict_request("mixed", **_GOOD), timeout=20)
            assert outputs(answer)["total"].tolist() == [3.0]
        held = Held(tmp_path)
        begun = server.predictions.Predict.future(held.request, timeout=30)
        held.wait_until_begun()
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "Stopping" in server.output())
        held.let_go()
        assert outputs(begun.result())["y"].tolist() == [1.0]
        assert server.process.wait(20) == 0


def _certificates(directory):
    def openssl(arguments):
        subprocess.run(
            ["openssl", *arguments.split()], check=True, cwd=directory, capture_output=True
        )

    openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem")
    (directory / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    for name in ("server", "client"):
        openssl(f"req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr")
        openssl(
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
            f"-out {name}.pem -extfile names"
        )
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.suffix != ".csr"}


def test_tls_requires_the_clients_certificate(base, tmp_path):
    files = _certificates(tmp_path)

    def quoted(name):
        return '"' + files[name].decode().replace("\n", "\\n") + '"'

    config = tmp_path / "ssl.config"
    config.write_text(
        f"server_key: {quoted('server.key')} server_cert: {quoted('server.pem')} "
        f"custom_ca: {quoted('ca.pem')} client_verify: true"
    )
    path = tmp_path / "grpc.sock"
    secured = (f"--ssl_config_file={config}", f"--grpc_socket_path={path}")
    known = grpc.ssl_channel_credentials(files["ca.pem"], files["client.key"], files["client.pem"])
    unknown = grpc.ssl_channel_credentials(files["ca.pem"])
    name = [("grpc.ssl_target_name_override", "localhost")]
    request = predict_request("mixed", **_GOOD)
    with running_server(tmp_path, *_options(base), *secured) as server:
        for address in (f"localhost:{server.port}", f"unix:{path}"):
            with grpc.secure_channel(address, known, name) as channel:
                stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
                assert outputs(stub.Predict(request, timeout=20))["total"].tolist() == [3.0]
            with grpc.secure_channel(address, unknown, name) as channel:
                stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
                assert refusal(stub.Predict, request, timeout=5)[0] == "UNAVAILABLE"
            with grpc.insecure_channel(address) as channel:
                stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
                assert refusal(stub.Predict, request, timeout=5)[0] == "UNAVAILABLE"


def _ended(*options):
    return warm.run(
        command(*options), libraries=warm.TENSORFLOW, capture_output=True, text=True, timeout=60
    )


def test_an_unknown_option_and_a_missing_model_end_with_2(base):
    assert _ended("--no_such_option=1").returncode == 2
    found = _ended("--port=1")
    assert found.returncode == 2
    assert "set --model_base_path to its directory" in found.stderr


@pytest.mark.parametrize(
    ("ssl_config", "said"),
    [
        ('server_key: "k"', "server_key and server_cert must be set to PEM texts"),
        (
            'server_key: "k" server_cert: "c" client_verify: true',
            "client_verify needs custom_ca, the authorities of the clients' certificates",
        ),
        (
            'server_key: "k" server_cert: "c"',
            "a key or certificate in --ssl_config_file may also be invalid",
        ),
    ],
)
def test_invalid_certificates_end_with_2(base, tmp_path, ssl_config, said):
    (tmp_path / "ssl.config").write_text(ssl_config)
    found = _ended("--port=1", *_options(base), f"--ssl_config_file={tmp_path}/ssl.config")
    assert found.returncode == 2
    assert said in found.stderr
    assert "Traceback" not in found.stderr


def test_a_base_path_that_is_a_url_ends_with_2():
    found = _ended("--port=1", "--model_base_path=gs://models/flights")
    assert found.returncode == 2
    assert "gs://models/flights is not a directory of this machine" in found.stderr
    assert "Traceback" not in found.stderr


def test_the_version_is_shown_without_a_model():
    found = _ended("--version")
    assert found.returncode == 0
    assert f"TensorFlow Library: {tf.__version__}" in found.stdout


def test_a_port_in_use_ends_with_2_and_says_so(base):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        found = _ended(*_options(base), f"--port={taken.getsockname()[1]}")
    assert found.returncode == 2
    assert "the port is in use or not allowed; choose another --port" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_base_path_that_is_absent_is_waited_for(base, tmp_path):
    later = tmp_path / "later"
    options = ("--model_name=mixed", f"--model_base_path={later}")
    with running_server(tmp_path, *options) as server:
        assert refusal(server.predictions.Predict, predict_request("mixed"))[0] == "NOT_FOUND"
        assert "Could not find base path" in server.output()
        save_mixed(tmp_path / "made")
        later.mkdir()
        (tmp_path / "made").rename(later / "1")
        request = predict_request("mixed", **_GOOD)
        wait_until(lambda: refusal(server.predictions.Predict, request)[0] == "OK")
