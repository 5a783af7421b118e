"""Metrics, warm-up, request logs and TFLite models of a running server."""

import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from support import warm
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from prodml.serving.models.warm_up import WARM_UP_FILE, write_warm_up_requests
from prodml.serving.observation.request_log_reading import RequestLogFiles

_LINEAR, _DAMAGED_WARM_UP = "half_plus_two", "cold"


class _HalfPlusTwo(tf.Module):
    def __init__(self) -> None:
        self.half = tf.Variable(0.5)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def answer(self, x):
        return {"y": self.half * x + 2.0}


@dataclass
class _Server:
    process: subprocess.Popen[str]
    grpc_port: int
    metrics_url: str

    def predict(self, *values: float, model: str = _LINEAR, alias: str = "x") -> list[float]:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(values, tf.float32))
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            (output,) = stub.Predict(request, timeout=10).outputs.values()
        return tf.make_ndarray(output).tolist()

    def state(self, model: str) -> get_model_status_pb2.ModelVersionStatus:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            return stub.GetModelStatus(request, timeout=10).model_version_status[0]

    def metric(self, start: str) -> str:
        with urllib.request.urlopen(self.metrics_url, timeout=10) as answer:
            assert answer.headers.get_content_type() == "text/plain"
            lines = answer.read().decode().splitlines()
        values = [
            line.rpartition(" ")[2] for line in lines if line.startswith(f":tensorflow:{start}")
        ]
        assert len(values) <= 1
        return values[0] if values else "0"

    def end(self, signal_number: int) -> int:
        self.process.send_signal(signal_number)
        return self.process.wait(30)


@contextlib.contextmanager
def _served(directory: Path, *options: str) -> Iterator[_Server]:
    ports = []
    with contextlib.ExitStack() as bound:
        for _ in range(2):
            one = bound.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            ports.append(one.getsockname()[1])
    monitoring = directory / "monitoring.config"
    monitoring.write_text('prometheus_config { enable: true path: "/metrics" }')
    with open(directory / "server.log", "a") as log:
        process = warm.Popen(
            [
                *(sys.executable, "-m", "prodml", "serve"),
                *(f"--port={ports[0]}", f"--rest_api_port={ports[1]}"),
                f"--monitoring_config_file={monitoring}",
                *options,
            ],
            libraries=warm.TENSORFLOW,
            stderr=log,
            text=True,
        )
    try:
        ends = time.monotonic() + 60
        with grpc.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
            ready = grpc.channel_ready_future(channel)
            while True:
                assert process.poll() is None, (directory / "server.log").read_text()
                assert time.monotonic() < ends, (directory / "server.log").read_text()
                with contextlib.suppress(grpc.FutureTimeoutError):
                    ready.result(timeout=0.2)
                    break
        yield _Server(process, ports[0], f"http://127.0.0.1:{ports[1]}/metrics")
    finally:
        process.kill()
        process.wait()


def _warm_up_log(value: float) -> prediction_log_pb2.PredictionLog:
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = _LINEAR
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([value], tf.float32))
    return log


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory) -> Path:
    module, directory = _HalfPlusTwo(), tmp_path_factory.mktemp("model")
    tf.saved_model.save(module, str(directory), {"serving_default": module.answer})
    return directory


@pytest.fixture(scope="module")
def directory(tmp_path_factory, saved_model) -> Path:
    directory = tmp_path_factory.mktemp("served")
    for model in (_LINEAR, _DAMAGED_WARM_UP):
        version = directory / model / "1"
        shutil.copytree(saved_model, version)
        write_warm_up_requests(str(version), [_warm_up_log(1.0), _warm_up_log(2.0)])
    with open(directory / _DAMAGED_WARM_UP / "1" / WARM_UP_FILE, "ab") as file:
        file.write(b"cut off")
    (directory / "models.config").write_text(
        f"""
        model_config_list {{
          config {{
            name: "{_LINEAR}" base_path: "{directory / _LINEAR}" model_platform: "tensorflow"
            logging_config {{
              log_collector_config {{ filename_prefix: "{directory / "logs" / _LINEAR}" }}
              sampling_config {{ sampling_rate: 1 }}
            }}
          }}
          config {{
            name: "{_DAMAGED_WARM_UP}" base_path: "{directory / _DAMAGED_WARM_UP}"
            model_platform: "tensorflow"
          }}
        }}
        """
    )
    return directory


def test_a_server_counts_warms_and_logs_and_its_successor_keeps_the_log(directory):
    options = [
        f"--model_config_file={directory / 'models.config'}",
        f"--request_log_dir={directory / 'logs'}",
        "--max_num_load_retries=0",
    ]
    with _served(directory, *options) as server:
        assert server.predict(1.0, 2.0) == [2.5, 3.0]
        with pytest.raises(grpc.RpcError):
            server.predict(1.0, alias="z")
        with pytest.raises(grpc.RpcError):
            server.predict(1.0, model="unknown")

        path = directory / _LINEAR / "1"
        success = f'{{model_path="{path}",status="success"}}'
        assert server.metric(f"cc:saved_model:load_attempt_count{success}") == "1"
        assert server.metric(f'cc:saved_model:load_latency{{model_path="{path}"}}') > "0"
        requests = "serving:request_count{model_name="
        assert server.metric(f'{requests}"{_LINEAR}",status="OK"') == "1"
        assert server.metric(f'{requests}"{_LINEAR}",status="INVALID_ARGUMENT"') == "1"
        assert server.metric(f'{requests}"unknown",status="NOT_FOUND"') == "1"
        labels = f'{{model_name="{_LINEAR}",API="Predict",entrypoint="GRPC"}}'
        assert server.metric(f"serving:request_latency_count{labels}") == "1"
        labels = f'{{model_name="{_LINEAR}",API="Predict",runtime="TF1"}}'
        assert server.metric(f"serving:runtime_latency_count{labels}") == "1"

        cold = server.state(_DAMAGED_WARM_UP)
        assert cold.status.error_code == 15  # DATA_LOSS
        assert re.match(
            r"truncated record at \d+\. Please verify your warmup data is in TFRecord format\.$",
            cold.status.error_message,
        )
        assert server.predict(3.0) == [3.5]
        logged = f'serving:request_log_count{{model_name="{_LINEAR}",status_code="OK"}}'
        ends = time.monotonic() + 10
        while server.metric(logged) != "2":
            assert time.monotonic() < ends
            time.sleep(0.02)
        assert server.end(signal.SIGKILL) == -signal.SIGKILL
    assert list((directory / "logs").glob("*.tfrecord")) == []

    with _served(directory, *options) as server:
        assert server.predict(4.0) == [4.0]
        assert server.end(signal.SIGTERM) == 0
    files = RequestLogFiles(str(directory / "logs" / _LINEAR))
    logs = list(files)
    assert files.damaged == {}
    assert len(files.files) == 2
    assert [
        (
            tf.make_ndarray(log.predict_log.request.inputs["x"]).tolist(),
            tf.make_ndarray(log.predict_log.response.outputs["y"]).tolist(),
        )
        for log in logs
    ] == [([1.0, 2.0], [2.5, 3.0]), ([3.0], [3.5]), ([4.0], [4.0])]
    assert {log.log_metadata.model_spec.version.value for log in logs} == {1}


def test_a_tflite_model_answers_beside_a_damaged_newer_one(tmp_path, saved_model):
    content = tf.lite.TFLiteConverter.from_saved_model(str(saved_model)).convert()
    for version, part in (("1", content), ("2", content[: len(content) // 2])):
        (tmp_path / "lite" / version).mkdir(parents=True)
        (tmp_path / "lite" / version / "model.tflite").write_bytes(part)
    options = [
        "--model_name=lite",
        f"--model_base_path={tmp_path / 'lite'}",
        "--prefer_tflite_model",
        "--num_tflite_pools=2",
        "--max_num_load_retries=0",
    ]
    shutil.move(tmp_path / "lite" / "2", tmp_path / "later")
    with _served(tmp_path, *options) as server:
        alias = "serving_default_x"
        assert server.predict(2.0, model="lite", alias=alias) == [3.0]
        assert server.predict(2.0, 4.0, 6.0, model="lite", alias=alias) == [3.0, 4.0, 5.0]
        shutil.move(tmp_path / "later", tmp_path / "lite" / "2")
        ends = time.monotonic() + 20
        while (state := server.state("lite")).version != 2 or not state.status.error_message:
            assert time.monotonic() < ends
            time.sleep(0.05)
        assert state.status.error_message == "Cannot build FlatBufferModel from buffer."
        assert server.predict(2.0, model="lite", alias=alias) == [3.0]
