"""A client that sends large requests back to back; a script for serving_hostile.py, prints JSON."""

from __future__ import annotations

import gzip
import http.client
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import numpy as np

_LARGEST = 64 << 20
_UNPACKED = 500 << 20
_NUMBERS = 10_000
_MARGIN = 1_000
_PREDICT = "/tensorflow.serving.PredictionService/Predict"


@dataclass(frozen=True)
class Attack:
    """What to send.

    Attributes:
        kind: a key of `KINDS`.
        port: of the server, for gRPC.
        rest_port: of the server.
        model: its name; it takes floats `x` of any number.
        seconds: how long.
    """

    kind: str
    port: int
    rest_port: int
    model: str
    seconds: float


def json_body() -> bytes:
    """Floats of 18 digits, up to the limit."""
    rows = b", ".join([b"%.16f" % value for value in np.random.default_rng(1).random(_NUMBERS)])
    count = (_LARGEST - _MARGIN) // (len(rows) + 2)
    return b'{"inputs": [' + b", ".join([rows] * count) + b"]}"


def bomb() -> bytes:
    """Half a megabyte that unpacks to half a gigabyte."""
    return gzip.compress(b" " * _UNPACKED)


def tensor(model: str, *, as_content: bool) -> bytes:
    """A PredictRequest of floats, up to the limit."""
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    values = np.random.default_rng(1).random((_LARGEST - _MARGIN) // 4, np.float32)
    proto = request.inputs["x"]
    proto.dtype = 1
    proto.tensor_shape.dim.add(size=len(values))
    if as_content:
        proto.tensor_content = values.tobytes()
    else:
        proto.float_val.extend(values.tolist())
    return request.SerializeToString()


def _by_rest(body: bytes, attack: Attack, headers: dict[str, str]) -> Callable[[], str]:
    def send() -> str:
        connection = http.client.HTTPConnection("127.0.0.1", attack.rest_port, timeout=120)
        try:
            connection.request("POST", f"/v1/models/{attack.model}:predict", body, headers)
            answer = connection.getresponse()
            answer.read()
            return str(answer.status)
        finally:
            connection.close()

    return send


def _by_grpc(message: bytes, attack: Attack) -> Callable[[], str]:
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    call = grpc.insecure_channel(f"127.0.0.1:{attack.port}", options).unary_unary(_PREDICT)

    def send() -> str:
        call(message, timeout=120)
        return "OK"

    return send


KINDS: dict[str, Callable[[Attack], Callable[[], str]]] = {
    "64 MB of JSON": lambda attack: _by_rest(json_body(), attack, {}),
    "gzip, 0.5 MB to 500 MB": lambda attack: _by_rest(bomb(), attack, {"Content-Encoding": "gzip"}),
    "64 MB by gRPC, content": lambda attack: _by_grpc(
        tensor(attack.model, as_content=True), attack
    ),
    "64 MB by gRPC, floats": lambda attack: _by_grpc(
        tensor(attack.model, as_content=False), attack
    ),
}


def main(attack: Attack) -> None:
    send = KINDS[attack.kind](attack)
    print("ready", flush=True)
    sys.stdin.readline()
    answers: Counter[str] = Counter()
    end = time.monotonic() + attack.seconds
    while time.monotonic() < end:
        try:
            answers[send()] += 1
        except (OSError, grpc.RpcError) as error:
            answers[type(error).__name__] += 1
    print(json.dumps(answers))


if __name__ == "__main__":
    main(Attack(**json.loads(sys.stdin.readline())))
