"""The REST API answers and rejects requests as TF Serving does."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import math
import re
import socket
import time
from typing import Any

import httpx
import pytest
from support.running_server import RunningServer

MODEL = "/v1/models/many"


@pytest.fixture
def http(api: RunningServer) -> httpx.Client:
    with httpx.Client(base_url=api.url, timeout=20) as client:
        yield client


def predict(http: httpx.Client, body: Any, path: str = MODEL) -> Any:
    response = http.post(f"{path}:predict", content=json.dumps(body))
    assert response.headers["content-type"] == "application/json"
    assert response.status_code == 200, response.text
    return response.json()


def packed(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


NAMED = {"signature_name": "named"}


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"instances": [1.0, 2.0, 5.0]}, {"predictions": [2.5, 3.0, 4.5]}),
        ({"instances": [{"x": 1}, {"x": 2}]}, {"predictions": [2.5, 3.0]}),
        ({"inputs": [1.0, 2.0]}, {"outputs": [2.5, 3.0]}),
        ({"inputs": {"x": [1.0]}}, {"outputs": [2.5]}),
        (
            {**NAMED, "instances": [{"a": 1, "b": ["p", packed(b"\xff\0")], "c": True}]},
            {"predictions": [{"a": 2, "joined": "p|�\0|true",
                              "joined_bytes": packed(b"p|\xff\0|true")}]},
        ),
        (
            {**NAMED, "inputs": {"a": [1, 2], "b": [["é", "q"], ["", ""]], "c": [True, False]}},
            {"outputs": {"a": [2, 3], "joined": ["é|q|true", "||false"],
                         "joined_bytes": [packed("é|q|true".encode()),
                                          packed(b"||false")]}},
        ),
    ],
)  # fmt: skip
def test_rows_and_columns_are_answered_in_kind(http: httpx.Client, body: Any, answer: Any) -> None:
    assert predict(http, body) == answer
    assert predict(http, body, f"{MODEL}/versions/7") == answer


def test_nan_and_infinity_go_both_ways(http: httpx.Client) -> None:
    response = http.post(
        f"{MODEL}:predict", content='{"signature_name": "nan", "instances": [1.0]}'
    )
    assert "[[NaN, Infinity, -Infinity]]" in response.text
    response = http.post(f"{MODEL}:predict", content='{"instances": [NaN, -Infinity]}')
    nan, infinite = json.loads(response.text)["predictions"]
    assert math.isnan(nan) and infinite == -math.inf


def test_examples_are_classified_and_regressed(http: httpx.Client) -> None:
    examples = {"examples": [{"x": 2.0}, {}]}
    answer = http.post(f"{MODEL}:classify", json={**examples, "signature_name": "classify"})
    assert answer.json() == {
        "results": [[["late", 3.0], ["on time", -3.0]], [["late", 2.0], ["on time", -2.0]]]
    }
    answer = http.post(f"{MODEL}:classify", json={**examples, "signature_name": "scores_only"})
    assert answer.json()["results"][0] == [["", 3.0], ["", -3.0]]
    context = {"context": {"x": 6.0}, "examples": [{}, {"x": 2.0}], "signature_name": "regress"}
    assert http.post(f"{MODEL}:regress", json=context).json() == {"results": [5.0, 3.0]}


def test_status_and_metadata_are_the_protos_as_json(http: httpx.Client) -> None:
    status = {
        "version": "7", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""},
    }  # fmt: skip
    for path in (MODEL, f"{MODEL}/versions/7"):
        assert http.get(path).json() == {"model_version_status": [status]}
    metadata = http.get(f"{MODEL}/metadata").json()
    assert metadata["model_spec"] == {"name": "many", "signature_name": "", "version": "7"}
    x = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["x"]
    assert x["dtype"] == "DT_FLOAT"
    assert x["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}


ELEMENT = "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "JSON Parse error: The document is empty"),
        ('{"instances": [', "JSON Parse error: Invalid value. at offset: 15"),
        ("[1]", "Is not object"),
        ("[" * 50_000, "JSON Parse error: lists or objects are nested too deeply"),
        ('{"instances": [1' + "0" * 5000 + "]}", "JSON Parse error: Number too big"),
        ('{"signature_name": "\\ud800"}', "surrogate pair in string is invalid"),
        ('{"a": 1}', "Missing 'inputs' or 'instances' key"),
        ('{"instances": [1], "inputs": [1]}', "only one of 'inputs' or 'instances'"),
        ('{"instances": 1}', "Excepting 'instances' to be an list/array"),
        ('{"instances": []}', "No values in 'instances' array"),
        ('{"signature_name": 1, "instances": [1]}', "'signature_name' key must be a string value."),
        ('{"signature_name": "z", "instances": [1]}',
         'Serving signature name: "z" not found in signature def'),
        ('{"instances": ["p"]}',
         f'{ELEMENT}JSON Value: "p" Type: String is not of expected type: float'),
        ('{"instances": [{"z": 1}]}',
         "Failed to process element: 0 key: z of 'instances' list. Error: INVALID_ARGUMENT: "
         "JSON object: does not have named input: z"),
        ('{"instances": [1, {"x": 1}]}', "Expecting value/list but got object at item 1 of input"),
        ('{"instances": [{"x": 1}, 1]}', "Expecting object but got list at item 1 of input list"),
        ('{"instances": [[1], [1, 2]]}', "Expecting tensor size: 1 but got: 2"),
        ('{"signature_name": "named", "instances": [1]}',
         "instances is a plain list, but expecting list of objects"),
        ('{"signature_name": "named", "instances": [{"a": 1}]}', "must only have keys: a,b,c"),
        ('{"signature_name": "named", "inputs": {"a": [1], "c": [true]}}',
         "Missing named input: b in 'inputs' object."),
        ('{"signature_name": "named", "inputs": [1]}', "inputs is a plain value/list"),
    ],
)  # fmt: skip
def test_an_invalid_body_is_rejected_with_the_reason(
    http: httpx.Client, body: str, message: str
) -> None:
    response = http.post(f"{MODEL}:predict", content=body)
    assert response.status_code == 400
    assert message in response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "code", "message"),
    [
        ("POST", "/v1/models/none:predict", 404, "Servable not found for request: Latest(none)"),
        ("POST", f"{MODEL}/versions/8:predict", 404,
         "Servable not found for request: Specific(many, 8)"),
        ("POST", f"{MODEL}/labels/z:predict", 400, "Unrecognized servable version label: z"),
        ("POST", f"{MODEL}/versions/{10**20}:predict", 400, "Failed to convert version"),
        ("GET", "/v1/models/none", 404, "Could not find any versions of model none"),
        ("GET", f"{MODEL}/versions/8", 404, "Could not find version 8 of model many"),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/", 400, "Malformed request: GET /v1/models/"),
        ("GET", f"{MODEL}:predict", 400, f"Malformed request: GET {MODEL}:predict"),
        ("POST", MODEL, 400, f"Malformed request: POST {MODEL}"),
        ("PUT", MODEL, 400, f"Malformed request: PUT {MODEL}"),
        ("GET", "/other", 404, "Not Found"),
    ],
)  # fmt: skip
def test_an_invalid_path_is_rejected_with_the_reason(
    http: httpx.Client, method: str, path: str, code: int, message: str
) -> None:
    body = '{"instances": [1.0]}' if method == "POST" else None
    response = http.request(method, path, content=body)
    assert response.status_code == code
    assert message in response.json()["error"]


@pytest.mark.parametrize(
    ("verb", "body", "message"),
    [
        ("classify", {"examples": [{"x": 1.0}]}, "No classification inputs found in SignatureDef"),
        ("regress", {"examples": [{"x": 1.0}], "signature_name": "z"}, "No signature was found"),
        ("regress", {"examples": [{"x": 1.0}], "signature_name": "regress_wide"},
         "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [1,2]"),
        ("classify", {}, "key 'examples' is expected and was not found"),
        ("classify", {"examples": 1}, "Expecting 'examples' value to be an list/array"),
        ("classify", {"examples": []}, "'examples' value is an empty array"),
        ("classify", {"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ("classify", {"examples": [{"x": None}]}, "unexpected JSON type: Null"),
        ("classify", {"examples": [{"x": [1, "p"]}]}, "expecting type: int64"),
        ("classify", {"examples": [{"x": 1 << 63}]}, "Only int64 is supported"),
    ],
)  # fmt: skip
def test_invalid_examples_are_rejected_with_the_reason(
    http: httpx.Client, verb: str, body: Any, message: str
) -> None:
    response = http.post(f"{MODEL}:{verb}", json=body)
    assert response.status_code == 400
    assert message in response.json()["error"]


def test_bodies_and_answers_may_be_compressed(http: httpx.Client) -> None:
    body = json.dumps({"instances": [float(i) for i in range(2000)]}).encode()
    response = http.post(
        f"{MODEL}:predict", content=gzip.compress(body), headers={"Content-Encoding": "gzip"}
    )
    assert response.headers["content-encoding"] == "gzip"
    assert len(response.json()["predictions"]) == 2000
    response = http.post(
        f"{MODEL}:predict", content=b"no gzip", headers={"Content-Encoding": "gzip"}
    )
    assert response.status_code == 400


def test_a_body_that_is_too_large_is_rejected_compressed_or_not(http: httpx.Client) -> None:
    bomb = gzip.compress(b"[" + b"1," * 1_000_000 + b"1]")
    response = http.post(f"{MODEL}:predict", content=bomb, headers={"Content-Encoding": "gzip"})
    assert response.status_code == 413
    assert "exceeded" in response.json()["error"]


def test_browsers_of_other_origins_get_cors_headers(http: httpx.Client) -> None:
    response = http.options(f"{MODEL}:predict")
    assert response.headers["access-control-allow-origin"] == "*"
    assert http.get(MODEL).headers["access-control-allow-methods"] == "POST, GET"


def test_metrics_are_counted_under_tf_servings_names(http: httpx.Client) -> None:
    pattern = r':tensorflow:serving:request_count\{model_name="many",status="OK"\} (\d+)'

    def count() -> int:
        return int(re.search(pattern, http.get("/monitoring/prometheus/metrics").text)[1])

    predict(http, {"instances": [1.0]})
    before = count()
    predict(http, {"instances": [1.0]})
    assert count() == before + 1


def test_a_client_that_sends_slowly_times_out_and_does_not_delay_others(
    api: RunningServer, http: httpx.Client
) -> None:
    host, port = api.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(
            f"POST {MODEL}:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode()
        )
        started = time.monotonic()
        predict(http, {"instances": [1.0]})
        assert time.monotonic() - started < 2
        slow.settimeout(20)
        assert b"504" in slow.recv(1000)


@pytest.mark.parametrize(
    "request_line",
    ["GET /monitoring/prometheus/metrics", f"GET {MODEL}/metadata", f"GET {MODEL}"],
)
def test_a_client_that_does_not_read_its_answers_is_disconnected(
    api: RunningServer, request_line: str
) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(2)
        client.connect(("127.0.0.1", api.rest_port))
        with contextlib.suppress(TimeoutError):
            while True:
                client.sendall(f"{request_line} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * 1000)
        # The server has filled the buffers and waits to send more.
        before = api.resident_mb()
        client.settimeout(20)
        with pytest.raises(ConnectionResetError):
            while True:
                client.sendall(b"a" * 100_000)
        assert api.resident_mb() - before < 50
    assert "Traceback" not in api.output()


def test_a_client_that_reads_slowly_does_not_delay_others(
    api: RunningServer, http: httpx.Client
) -> None:
    host, port = api.url.removeprefix("http://").split(":")
    body = json.dumps({"instances": [0.1] * 100_000}).encode()
    head = (
        f"POST {MODEL}:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    readers = [socket.create_connection((host, int(port))) for _ in range(4)]
    for reader in readers:
        reader.sendall(head + body)
    predict(http, {"instances": [1.0]})
    for reader in readers:
        reader.close()
    predict(http, {"instances": [1.0]})
