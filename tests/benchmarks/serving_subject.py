"""The models, requests and servers for the benchmarks of the model server."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from load_generator import Load

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_START_SECONDS = 60.0
_GENERATOR = Path(__file__).with_name("load_generator.py")
_ECHO = Path(__file__).with_name("grpc_echo.py")
_LAYERS, _WIDTH, _FEATURES = 24, 1024, 16


@dataclass(frozen=True)
class Subject:
    """A model, and a request with one row in three forms."""

    name: str
    base_path: Path
    inputs: Mapping[str, np.ndarray]
    grpc_request: bytes
    rest_body: str


@dataclass(frozen=True)
class Server:
    """A server that is ready."""

    port: int
    rest_port: int
    pid: int

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def resident_mb(self) -> float:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE / 2**20


def newest(base_path: Path) -> str:
    """Returns the directory of the highest version."""
    from prodml.storage.model_versions import versions_on_disk

    found = versions_on_disk(str(base_path))
    return found[max(found)]


def flights(base_path: Path) -> Subject:
    """Returns one flight as a serialized tf.Example, with the columns of `serving_raw`."""
    import tensorflow as tf

    from prodml.serving.clients.grpc_messages import predict_request
    from prodml.serving.models.saved_model import SavedModel

    base_path = base_path.resolve()
    values = {
        tf.float32: tf.train.Feature(float_list=tf.train.FloatList(value=[733.0])),
        tf.int64: tf.train.Feature(int64_list=tf.train.Int64List(value=[1])),
        tf.string: tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"EWR"])),
    }
    columns = SavedModel(newest(base_path)).signatures["serving_raw"].inputs
    features = {name: values[tf.as_dtype(info.dtype)] for name, info in columns.items()}
    example = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    array = np.empty(1, object)
    array[0] = example
    body = {"instances": [{"b64": base64.b64encode(example).decode()}]}
    request = predict_request("flights", {"examples": array}).SerializeToString()
    return Subject("flights", base_path, {"examples": array}, request, json.dumps(body))


def heavy(base_path: Path) -> Subject:
    """Returns one row for the heavy model."""
    from prodml.serving.clients.grpc_messages import predict_request

    row = np.linspace(-1, 1, _FEATURES, dtype=np.float32)[np.newaxis]
    request = predict_request("heavy", {"x": row}).SerializeToString()
    return Subject(
        "heavy", base_path, {"x": row}, request, json.dumps({"instances": [row[0].tolist()]})
    )


def made_heavy_model(base_path: Path) -> Path:
    """Saves a model of dense layers, which reads all weights from memory for one row and for 64."""
    import tensorflow as tf

    rng = np.random.default_rng(1)

    class Dense(tf.Module):
        def __init__(self) -> None:
            sizes = [_FEATURES, *[_WIDTH] * _LAYERS, 1]
            self.weights = [
                tf.Variable(rng.normal(0, rows**-0.5, (rows, columns)).astype(np.float32))
                for rows, columns in itertools.pairwise(sizes)
            ]

        @tf.function(input_signature=[tf.TensorSpec([None, _FEATURES], tf.float32, "x")])
        def answer(self, x: Any) -> Any:
            for weight in self.weights:
                x = tf.nn.relu(x @ weight)
            return {"y": x}

    model = Dense()
    tf.saved_model.save(model, str(base_path / "1"), {"serving_default": model.answer})
    return base_path


@contextlib.contextmanager
def serving(name: str, base_path: Path, scratch: Path, *options: str) -> Iterator[Server]:
    """Starts `prodml serve` and waits until it answers; stops it with SIGTERM.

    Raises:
        RuntimeError: the server does not answer, or its exit code is not 0.
    """
    from prodml.serving.processes.server_process import free_ports

    port, rest_port = free_ports(2)
    log = scratch / "server.log"
    command = [sys.executable, "-m", "prodml", "serve", f"--port={port}"]
    command += [f"--rest_api_port={rest_port}", f"--model_name={name}"]
    command += [f"--model_base_path={base_path}", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait(f"http://127.0.0.1:{rest_port}/v1/models/{name}", process, log)
        yield Server(port, rest_port, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(_START_SECONDS)
    if code:
        raise RuntimeError(f"the server ended with {code}:\n{log.read_text()[-2000:]}")


@contextlib.contextmanager
def echoing() -> Iterator[Server]:
    """Starts a gRPC server in Python that only sends answers."""
    from prodml.serving.processes.server_process import free_ports

    (port,) = free_ports(1)
    command = [sys.executable, str(_ECHO), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            yield Server(port, 0, process.pid)
        finally:
            process.kill()


def run_load(load: Load) -> Any:
    """Runs the load generator in a separate process and returns its result."""
    done = subprocess.run(
        [sys.executable, str(_GENERATOR)],
        input=json.dumps(asdict(load)),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:
            if b"AVAILABLE" in answer.read():
                return
        time.sleep(0.05)
    raise RuntimeError(f"the server does not answer:\n{log.read_text()[-2000:]}")
