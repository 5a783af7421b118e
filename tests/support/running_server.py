"""A running `prodml serve` with any options, called with TF Serving's stubs."""

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
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from support import warm
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from prodml.serving.clients.grpc_client import GrpcClient
from prodml.serving.processes.server_process import free_ports

SECONDS = 60.0


@dataclass
class RunningServer:
    """A running server, with stubs on a channel to it."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int
    rest_port: int
    channel: grpc.Channel

    def __post_init__(self) -> None:
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    @property
    def address(self) -> str:
        """The gRPC address, `host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The URL of the REST API, without a path."""
        return f"http://127.0.0.1:{self.rest_port}"

    def client(self) -> GrpcClient:
        return GrpcClient(self.address)

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def resident_mb(self) -> float:
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * 4096 / 2**20


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "prodml", "serve", *options]


@contextlib.contextmanager
def running_server(directory: Path, *options: str) -> Iterator[RunningServer]:
    """Runs a server, and yields it when ready.

    Checks that SIGTERM ends it with exit code 0, and that it leaves nothing open.
    """
    port, rest_port = free_ports(2)
    log = directory / f"server-{port}.log"
    with log.open("wb") as output:
        process = warm.Popen(
            command(f"--port={port}", f"--rest_api_port={rest_port}", *options),
            libraries=warm.TENSORFLOW,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONWARNINGS": "always::ResourceWarning"},
        )
    try:
        wait_until(lambda: "Ready:" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        with grpc.insecure_channel(f"127.0.0.1:{port}", channel_options()) as channel:
            yield RunningServer(process, log, port, rest_port, channel)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0, log.read_text()
        assert "ResourceWarning" not in log.read_text(errors="replace"), log.read_text()
    finally:
        process.kill()
        process.wait()


def channel_options() -> list[tuple[str, int]]:
    return [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]


def wait_until(condition: Any, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.02)


def refusal(method: Any, request: Any, timeout: float = 20) -> tuple[str, str]:
    """The code and the text of a call's error; OK if the call succeeds."""
    try:
        method(request, timeout=timeout)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


def predict_request(
    model: str, *, version: int | None = None, label: str = "", signature: str = "", **inputs: Any
) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label:
        request.model_spec.version_label = label
    for name, value in inputs.items():
        is_whole = np.asarray(value).dtype.kind == "i"
        proto = tf.make_tensor_proto(value, tf.int64 if is_whole else None)
        request.inputs[name].CopyFrom(proto)
    return request


class Held:
    """A request that the server works on until it is let go.

    Args:
        directory: an empty one.
    """

    def __init__(self, directory: Path) -> None:
        self._begun, self._until = directory / "begun", directory / "until"
        self.request = predict_request(
            "mixed",
            signature="hold",
            x=[1.0],
            begun=[str(self._begun).encode()],
            until=[str(self._until).encode()],
        )

    def has_begun(self) -> bool:
        return self._begun.exists()

    def wait_until_begun(self) -> None:
        wait_until(self.has_begun)

    def let_go(self) -> None:
        self._until.touch()


def outputs(response: predict_pb2.PredictResponse) -> dict[str, np.ndarray]:
    return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}


class Mixed(tf.Module):
    """Floats, integers and strings in and out, and values that are no numbers."""

    def __init__(self, bias: float = 0.0) -> None:
        super().__init__()
        self.bias = tf.Variable(bias)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, "x"),
            tf.TensorSpec([None], tf.int64, "n"),
            tf.TensorSpec([None], tf.string, "s"),
        ]
    )
    def serve(self, x, n, s):
        tf.debugging.assert_less(x, 1000.0, message="too large")
        total = x + tf.cast(n, tf.float32) + self.bias
        return {"total": total, "twice": tf.strings.join([s, s]), "ratio": x / (x - x)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, "x"),
            tf.TensorSpec([None], tf.string, "begun"),
            tf.TensorSpec([None], tf.string, "until"),
        ]
    )
    def hold(self, x, begun, until):
        """Creates the file `begun`, and returns x once the file `until` exists."""
        with tf.control_dependencies([tf.io.write_file(begun[0], "")]):
            (is_held,) = tf.while_loop(
                lambda is_held: is_held,
                lambda _: [tf.equal(tf.size(tf.io.matching_files(until[0])), 0)],
                [tf.constant(True)],
            )
        return {"y": x + tf.cast(is_held, tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def parse(self, examples):
        spec = {"x": tf.io.FixedLenFeature([], tf.float32)}
        return {"x": tf.io.parse_example(examples, spec)["x"] + self.bias}


def save_mixed(directory: Path, bias: float = 0.0) -> Path:
    model = Mixed(bias)
    signatures = {"serving_default": model.serve, "hold": model.hold, "parse": model.parse}
    tf.saved_model.save(model, str(directory), signatures)
    return directory


def save_estimator(directory: Path) -> Path:
    """Saves a model as TF1's estimators do: `classify` and `regress` on serialized tf.Examples."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        serialized = v1.placeholder(tf.string, [None], "input_example_tensor")
        x = v1.parse_example(serialized, {"x": tf.io.FixedLenFeature([1], tf.float32, 0.0)})["x"]
        weight = v1.get_variable("weight", initializer=2.0)
        score = tf.concat([-x, x * weight], axis=1)
        classes = tf.tile(tf.constant([["no", "yes"]]), [tf.shape(x)[0], 1])
        builders = v1.saved_model.signature_def_utils
        signatures = {
            "serving_default": builders.classification_signature_def(serialized, classes, score),
            "regression": builders.regression_signature_def(serialized, x * weight),
            "flat": builders.predict_signature_def({"x": x}, {"y": x * weight}),
        }
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(directory))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()
    return directory
