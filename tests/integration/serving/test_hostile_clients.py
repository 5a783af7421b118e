"""One client, whatever it sends, neither delays others nor uses more than its share."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from support.running_server import (
    Held,
    RunningServer,
    channel_options,
    outputs,
    predict_request,
    refusal,
    running_server,
    save_mixed,
    wait_until,
)
from tensorflow_serving.apis import classification_pb2, prediction_service_pb2_grpc

from prodml.serving.values.tensors import to_content_proto, to_proto

_LARGE = 48_000_000
_ANSWERS = 20
"""Number of small requests in sequence that must be answered before a large one is."""


class Echo(tf.Module):
    """Returns its input, or nothing, or a large answer."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def serve(self, x: Any) -> Any:
        return {"y": x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.uint8, "image")])
    def measure(self, image: Any) -> Any:
        return {"size": tf.size(image)[tf.newaxis]}

    @tf.function(input_signature=[tf.TensorSpec([1], tf.int32, "size")])
    def fill(self, size: Any) -> Any:
        return {"y": tf.fill(size, 0.123456)}


def save_echo(directory: Path) -> None:
    model = Echo()
    signatures = {"serving_default": model.serve, "measure": model.measure, "fill": model.fill}
    tf.saved_model.save(model, str(directory), signatures)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    root = tmp_path_factory.mktemp("hostile")
    save_echo(root / "echo" / "1")
    with running_server(root, "--model_name=echo", f"--model_base_path={root / 'echo'}") as running:
        yield running
        assert "Traceback" not in running.output()


def post(server: RunningServer, body: bytes, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/models/echo:predict", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def answers_before(server: RunningServer, body: bytes, **headers: str) -> tuple[int, bytes]:
    """Counts the small requests that are answered in sequence between the last byte of a body
    and the first byte of its answer; and this answer."""
    head = f"POST /v1/models/echo:predict HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    address = ("127.0.0.1", server.rest_port)
    with socket.create_connection(address, timeout=60) as client, small_rest(server) as small:
        client.sendall(head.encode() + b"\r\n" + body[:-1])
        small()
        client.sendall(body[-1:])
        count = 0
        while not select.select([client], [], [], 0)[0]:
            small()
            count += 1
        answer = http.client.HTTPResponse(client)
        answer.begin()
        return count, answer.read()


@contextlib.contextmanager
def small_rest(server: RunningServer) -> Iterator[Callable[[], None]]:
    """Yields a function that sends a small request and waits for its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=60)

    def ask() -> None:
        connection.request("POST", "/v1/models/echo:predict", b'{"instances": [1.0]}')
        assert json.loads(connection.getresponse().read()) == {"predictions": [1.0]}

    with contextlib.closing(connection):
        yield ask


def large_json() -> bytes:
    numbers = b", ".join([b"%.16f" % (number / 7) for number in range(1000)])
    return (
        b'{"signature_name": "serving_default", "instances": ['
        + b", ".join([numbers] * (_LARGE // len(numbers)))
        + b"]}"
    )


def test_others_are_answered_while_a_large_body_is_parsed_and_its_answer_written(server):
    count, answer = answers_before(server, large_json())
    assert len(json.loads(answer)["predictions"]) > 1_000_000
    assert count >= _ANSWERS


def test_others_are_answered_while_a_large_body_is_refused(server):
    body = large_json().replace(b'"serving_default"', b"1")
    count, answer = answers_before(server, body)
    assert "'signature_name' key must be a string" in json.loads(answer)["error"]
    assert len(answer) < 2000
    assert count >= _ANSWERS


_FILL = b'{"signature_name": "fill", "inputs": [1000000]}'


def test_others_are_answered_while_a_large_answer_is_written(server):
    count, answer = answers_before(server, _FILL)
    assert json.loads(answer)["outputs"] == [0.123456] * 1_000_000
    assert count >= _ANSWERS


def test_a_large_answer_is_compressed_for_clients_that_accept_gzip(server):
    _, answer = answers_before(server, _FILL, Accept_Encoding="gzip")
    assert json.loads(gzip.decompress(answer))["outputs"] == [0.123456] * 1_000_000


def test_decompression_of_a_gzip_bomb_stops_at_the_limit(server):
    bomb = gzip.compress(b" " * 500_000_000, 6)
    before = server.resident_mb()
    count, answer = answers_before(server, bomb, Content_Encoding="gzip")
    assert b"Maximum request body size 67108864 exceeded" in answer
    assert server.resident_mb() - before < 150
    assert count >= 1


@pytest.mark.parametrize("encode", [to_proto, to_content_proto])
def test_others_are_answered_most_of_the_time_while_a_large_tensor_is_read_by_grpc(server, encode):
    request = predict_request("echo")
    request.inputs["x"].CopyFrom(encode(np.arange(_LARGE // 4, dtype=np.float32)))
    message = request.SerializeToString()
    small = predict_request("echo", x=[1.0])
    waits = []
    with (
        grpc.insecure_channel(server.address, [("grpc.max_receive_message_length", -1)]) as channel,
        ThreadPoolExecutor(1) as pool,
    ):
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        began = time.monotonic()
        under_way = pool.submit(call, message, 60)
        while not under_way.done():
            asked = time.monotonic()
            server.predictions.Predict(small, timeout=60)
            waits.append(time.monotonic() - asked)
        took = time.monotonic() - began
    assert len(under_way.result()) > _LARGE
    assert max(waits) < took / 2


def test_a_uint8_tensor_of_17_mb_is_answered(server):
    request = predict_request("echo", signature="measure")
    request.inputs["image"].CopyFrom(to_content_proto(np.zeros(17_000_000, np.uint8)))
    answer = server.predictions.Predict(request, timeout=60)
    assert outputs(answer)["size"].tolist() == [17_000_000]


@pytest.mark.parametrize(
    ("shape", "field"),
    [([1] * 300, {"float_val": [1.0]}), ([0, 1 << 62, 1 << 62], {})],
    ids=["300 dimensions", "an empty shape that overflows"],
)
def test_shapes_that_no_array_has_are_invalid_arguments(server, shape, field):
    request = predict_request("echo")
    tensor = request.inputs["x"]
    tensor.dtype = tf.float32.as_datatype_enum
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    for name, values in field.items():
        getattr(tensor, name).extend(values)
    code, text = refusal(server.predictions.Predict, request)
    assert (code, text.startswith("tensor parsing error: x")) == ("INVALID_ARGUMENT", True)


@pytest.mark.parametrize("depth", [33, 300, 900, 990, 1010])
@pytest.mark.parametrize("key", ["instances", "inputs", "examples", "signature_name"])
def test_json_that_is_nested_deeply_is_refused(server, depth, key):
    body = b'{"%s": ' % key.encode() + b"[" * depth + b"1.0" + b"]" * depth + b"}"
    status, answer = post(server, body)
    assert (status, set(answer)) == (400, {"error"})


def test_a_message_that_cannot_be_parsed_is_an_invalid_argument(server):
    call = server.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    code, text = refusal(call, b"\xff\xff")
    assert (code, "cannot be parsed" in text) == ("INVALID_ARGUMENT", True)


@pytest.mark.parametrize(
    "method",
    ["PredictionService/GetModelMetadata", "ModelService/GetModelStatus"],
)
def test_a_large_message_about_models_is_rejected_unparsed(server, method):
    call = server.channel.unary_unary(f"/tensorflow.serving.{method}")
    code, text = refusal(call, b"\x12\x00" * 10_000_000)
    assert code == "INVALID_ARGUMENT"
    assert text == "the message has 20000000 bytes; this method reads at most 65536"


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with one thread, a limit of four requests, and little memory."""
    root = tmp_path_factory.mktemp("narrow")
    save_mixed(root / "mixed" / "1")
    with running_server(
        root,
        "--model_name=mixed",
        f"--model_base_path={root / 'mixed'}",
        "--grpc_max_threads=1",
        "--rest_api_num_threads=1",
        "--max_waiting_requests=4",
        "--max_request_bytes=1000000",
        "--max_inflight_bytes=1500000",
    ) as running:
        yield running


_GOOD = {"x": [1.0], "n": [2], "s": [b"a"]}


def test_calls_of_disconnected_grpc_clients_never_run(narrow, tmp_path):
    held = Held(tmp_path)
    busy = narrow.predictions.Predict.future(held.request, timeout=60)
    held.wait_until_begun()
    gone = []
    for number in range(3):
        directory = tmp_path / f"gone{number}"
        directory.mkdir()
        gone.append(Held(directory))
    calls = [narrow.predictions.Predict.future(each.request, timeout=60) for each in gone]
    wait_until(
        lambda: (
            refusal(narrow.predictions.Predict, predict_request("mixed", **_GOOD), timeout=0.5)[0]
            == "RESOURCE_EXHAUSTED"
        )
    )
    for call in calls:
        call.cancel()
    # The limit is free again, though none of them has run: another call waits for the thread.
    good = predict_request("mixed", **_GOOD)
    wait_until(
        lambda: refusal(narrow.predictions.Predict, good, timeout=0.5)[0] == "DEADLINE_EXCEEDED"
    )
    waiting = narrow.predictions.Predict.future(predict_request("mixed", **_GOOD), timeout=60)
    held.let_go()
    assert outputs(busy.result())["y"].tolist() == [1.0]
    assert outputs(waiting.result())["total"].tolist() == [3.0]
    assert not any((tmp_path / f"gone{number}" / "begun").exists() for number in range(3))


def test_a_rest_call_of_a_disconnected_client_never_runs(narrow, tmp_path):
    (tmp_path / "busy").mkdir()
    held = Held(tmp_path / "busy")
    busy = narrow.predictions.Predict.future(held.request, timeout=60)
    held.wait_until_begun()
    begun = tmp_path / "begun"
    body = json.dumps(
        {
            "signature_name": "hold",
            "inputs": {"x": [1.0], "begun": [str(begun)], "until": [str(tmp_path / "until")]},
        }
    ).encode()
    head = f"POST /v1/models/mixed:predict HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", narrow.rest_port)) as client:
        client.sendall(head.encode() + b"\r\n" + body)
        # A later request on another connection is answered later.
        ask_status(narrow)
    ask_status(narrow)
    held.let_go()
    assert outputs(busy.result())["y"].tolist() == [1.0]
    answer = narrow.predictions.Predict(predict_request("mixed", **_GOOD), timeout=60)
    assert outputs(answer)["total"].tolist() == [3.0]
    assert not begun.exists()


def ask_status(server: RunningServer) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", "/v1/models/mixed")
        return connection.getresponse().status


_HEAD = "POST /v1/models/mixed:predict HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n"


def test_clients_that_announce_bodies_without_sending_them_do_not_use_up_the_limit(narrow):
    with contextlib.ExitStack() as stack:
        for size in (*[100] * 8, *[900_000] * 2):
            connection = stack.enter_context(
                socket.create_connection(("127.0.0.1", narrow.rest_port), timeout=20)
            )
            connection.sendall(_HEAD.format(size).encode())
        assert ask_status(narrow) == 200
        good = predict_request("mixed", **_GOOD)
        assert refusal(narrow.predictions.Predict, good)[0] == "OK"
        connection = http.client.HTTPConnection("127.0.0.1", narrow.rest_port, timeout=20)
        with contextlib.closing(connection):
            body = {"instances": [{"x": 1.0, "n": 2, "s": "a"}]}
            connection.request("POST", "/v1/models/mixed:predict", json.dumps(body))
            assert connection.getresponse().status == 200


def test_requests_above_the_limit_are_rejected_and_status_is_answered(narrow, tmp_path):
    held = []
    for number in range(4):
        directory = tmp_path / f"{number}"
        directory.mkdir()
        held.append(Held(directory))
    calls = [narrow.predictions.Predict.future(each.request, timeout=60) for each in held]

    def answer() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", narrow.rest_port, timeout=20)
        with contextlib.closing(connection):
            connection.request("POST", "/v1/models/mixed:predict", b"{}")
            response = connection.getresponse()
            return response.status, response.read()

    wait_until(lambda: answer()[0] == 429)
    assert b"4 requests are running or waiting already" in answer()[1]
    assert ask_status(narrow) == 200
    for each in held:
        each.let_go()
    assert [outputs(call.result())["y"].tolist() for call in calls] == [[1.0]] * 4


def test_arriving_bytes_are_limited_by_their_announced_size(narrow):
    with contextlib.ExitStack() as stack:
        first, second = (
            stack.enter_context(
                socket.create_connection(("127.0.0.1", narrow.rest_port), timeout=20)
            )
            for _ in range(2)
        )
        first.sendall(_HEAD.format(900_000).encode() + b" " * 800_000)

        def is_refused() -> bool:
            second.sendall(_HEAD.format(900_000).encode())
            return b"bytes are arriving already" in second.recv(1000)

        ask_status(narrow)
        assert is_refused()
        good = predict_request("mixed", **_GOOD)
        assert refusal(narrow.predictions.Predict, good)[0] == "OK"


@pytest.mark.parametrize("size", [10_000, 1_000_000])
def test_a_message_that_repeats_a_long_name_reaches_the_client_by_grpc(server, size):
    request = predict_request("echo", signature="s" * size, x=[1.0])
    code, text = refusal(server.predictions.Predict, request)
    assert code == "FAILED_PRECONDITION"
    assert text.startswith('Serving signature key "sss')


def test_a_message_that_repeats_a_long_name_is_short_by_rest(server):
    body = json.dumps({"signature_name": "s" * 1_000_000, "instances": [1.0]}).encode()
    status, answer = post(server, body)
    assert status == 400
    assert len(answer["error"]) < 7_000


def test_a_config_with_too_many_models_is_rejected_unparsed(server):
    call = server.channel.unary_unary("/tensorflow.serving.ModelService/HandleReloadConfigRequest")
    code, text = refusal(call, b"\x0a\x00" * 1_000_000)
    assert code == "INVALID_ARGUMENT"
    assert text == "the message has 2000000 bytes; this method reads at most 1048576"


def test_a_client_that_leaves_before_its_answer_leaves_no_traceback(server):
    limited = [*channel_options(), ("grpc.max_receive_message_length", 1_000)]
    request = predict_request("echo", x=np.ones(1_000_000, np.float32))
    with grpc.insecure_channel(server.address, limited) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for _ in range(5):
            code, _ = refusal(stub.Predict, request)
            assert code == "RESOURCE_EXHAUSTED"
    assert "Traceback" not in server.output()


def test_bytes_that_tensors_declare_but_do_not_contain_count_as_in_flight(narrow):
    request = predict_request("mixed", **_GOOD)
    request.inputs["x"].tensor_shape.dim[0].size = 400_000
    code, text = refusal(narrow.predictions.Predict, request)
    assert code == "RESOURCE_EXHAUSTED"
    assert "would exceed the 1500000 bytes" in text


def test_a_context_for_many_examples_counts_as_bytes_in_flight(narrow):
    examples = {"context": {"a": "a" * 10_000}, "examples": [{}] * 1_000}
    connection = http.client.HTTPConnection("127.0.0.1", narrow.rest_port, timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/models/mixed:classify", json.dumps(examples))
        answer = connection.getresponse()
        assert answer.status == 429
        assert b"would exceed the 1500000 bytes" in answer.read()
    request = classification_pb2.ClassificationRequest(model_spec={"name": "mixed"})
    with_context = request.input.example_list_with_context
    with_context.context.features.feature["a"].bytes_list.value.append(b"a" * 10_000)
    with_context.examples.extend([tf.train.Example()] * 1_000)
    code, text = refusal(narrow.predictions.Classify, request)
    assert (code, "would exceed the 1500000 bytes" in text) == ("RESOURCE_EXHAUSTED", True)
