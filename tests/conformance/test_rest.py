"""Behaviour that REST clients of TensorFlow Serving rely on."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from conformance.conftest import Server
from conformance.served import VERSION

X_2 = {"instances": [2.0]}
X_TO_Y = [{"x": 2.0}, {"x": 4.0}]


@pytest.mark.parametrize("model", ["tf1", "tf2"])
@pytest.mark.parametrize(
    ("verb", "body", "answer"),
    [
        ("predict", {"instances": [2.0, 3.0, 4.0]}, {"predictions": [3.0, 3.5, 4.0]}),
        ("predict", {"instances": [{"x": 2.0}]}, {"predictions": [3.0]}),
        ("predict", {"inputs": [2.0, 3.0, 4.0]}, {"outputs": [3.0, 3.5, 4.0]}),
        ("predict", {"inputs": {"x": [2.0]}}, {"outputs": [3.0]}),
        (
            "classify",
            {"signature_name": "classify_x_to_y", "examples": X_TO_Y},
            {"results": [[["", 3.0]], [["", 4.0]]]},
        ),
        (
            "regress",
            {"signature_name": "regress_x_to_y", "examples": X_TO_Y},
            {"results": [3.0, 4.0]},
        ),
        (
            "regress",
            {"signature_name": "regress_x_to_y", "context": {"x": 4.0}, "examples": [{}]},
            {"results": [4.0]},
        ),
    ],
)
def test_models_answer(server: Server, model: str, verb: str, body: Any, answer: Any) -> None:
    response = server.rest.post(f"/v1/models/{model}:{verb}", json=body)
    assert (response.status_code, response.json()) == (200, answer)
    assert response.headers["content-type"] == "application/json"


def test_rows_and_columns_of_several_inputs(server: Server) -> None:
    bytes_ = {"b64": base64.b64encode(b"\xff").decode()}
    row = {"n": 1, "s": ["a", bytes_], "b": True}
    url = "/v1/models/tf2:predict"
    found = server.rest.post(url, json={"signature_name": "mixed", "instances": [row, row]}).json()
    joined = {"b64": base64.b64encode(b"a\xff").decode()}
    assert [each["joined_bytes"] for each in found["predictions"]] == [joined, joined]
    assert [(each["n"], each["not_b"]) for each in found["predictions"]] == [(2, False)] * 2
    columns = {"n": [1], "s": [["a", "b"]], "b": [False]}
    body = {"signature_name": "mixed", "inputs": columns}
    found = server.rest.post(url, json=body).json()["outputs"]
    assert (found["n"], found["joined"], found["not_b"]) == ([2], ["ab"], [True])


@pytest.mark.parametrize(
    ("path", "expected"), [("", 4.0), ("/versions/1", 3.0), ("/labels/stable", 3.0)]
)
def test_a_path_names_the_latest_version_a_number_or_a_label(
    server: Server, path: str, expected: float
) -> None:
    response = server.rest.post(f"/v1/models/versions{path}:predict", json={"instances": [4.0]})
    assert response.json() == {"predictions": [expected]}


def test_the_status_names_codes_and_states(server: Server) -> None:
    status = {
        "version": str(VERSION),
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    for path in ("/v1/models/tf1", f"/v1/models/tf1/versions/{VERSION}"):
        assert server.rest.get(path).json() == {"model_version_status": [status]}


def test_metadata_has_the_signatures(server: Server) -> None:
    found = server.rest.get("/v1/models/tf1/metadata").json()
    assert found["model_spec"] == {"name": "tf1", "signature_name": "", "version": str(VERSION)}
    default = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert default["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert default["method_name"] == "tensorflow/serving/predict"


def test_metadata_of_tf2_has_the_operation_that_initializes_the_model(server: Server) -> None:
    found = server.rest.get("/v1/models/tf2/metadata").json()
    signature = found["metadata"]["signature_def"]["signature_def"]["__saved_model_init_op"]
    assert (signature["inputs"], signature["method_name"]) == ({}, "")
    assert signature["outputs"]["__saved_model_init_op"] == {
        "name": "NoOp",
        "dtype": "DT_INVALID",
        "tensor_shape": {"dim": [], "unknown_rank": True},
    }


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b'{"instances": [2, 3.0, 4e0]}', [3.0, 3.5, 4.0]),
        (b'\xef\xbb\xbf{"instances": [2.0]}', [3.0]),
        (b' {"instances" :\t[ 2.0 ]}\r\n', [3.0]),
        (b'{"signature_name": "serving_default", "instances": [2.0], "more": 1}', [3.0]),
        (b'{"instances": [16777215, -16777215]}', [8388609.5, -8388605.5]),
        (b'{"instances": [100000000000000000000]}', [5e19]),
    ],
)
def test_bodies_with_any_number_format_and_white_space_are_read(
    server: Server, body: bytes, answer: list[float]
) -> None:
    response = server.rest.post("/v1/models/tf1:predict", content=body)
    assert response.status_code == 200
    assert response.json()["predictions"] == pytest.approx(answer)


def test_nan_and_infinities_go_both_ways(server: Server) -> None:
    body = b'{"instances": [NaN, Infinity, -Infinity]}'
    response = server.rest.post("/v1/models/tf1:predict", content=body)
    assert response.status_code == 200
    assert "".join(response.text.split()) == '{"predictions":[NaN,Infinity,-Infinity]}'


@pytest.mark.parametrize("text", ["/2Jh", "/2Jh\\n", "/2\\r\\nJh"])
def test_base64_may_be_broken_into_lines(server: Server, text: str) -> None:
    row = f'{{"n": 1, "s": [{{"b64": "{text}"}}, "c"], "b": true}}'
    body = f'{{"signature_name": "mixed", "instances": [{row}]}}'
    found = server.rest.post("/v1/models/tf2:predict", content=body).json()["predictions"][0]
    assert found["joined_bytes"] == {"b64": base64.b64encode(b"\xffbac").decode()}


@pytest.mark.parametrize("text", ["/2J", "_2Jh", "/", "/2Jh=", "?"])
def test_invalid_base64_is_rejected(server: Server, text: str) -> None:
    row = {"n": 1, "s": [{"b64": text}, "c"], "b": True}
    body = {"signature_name": "mixed", "instances": [row]}
    response = server.rest.post("/v1/models/tf2:predict", json=body)
    if text == "/2J":
        assert response.json()["predictions"][0]["joined_bytes"]["b64"] == "/2Jj"
    else:
        assert response.status_code == 400
        assert "Unable to base64 decode" in response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/foo"),
        ("POST", "/v1/foo"),
        ("POST", "/v1/models"),
        ("GET", "/v1/models/debug/name"),
        ("GET", "/v1/models/tf1:predict"),
        ("GET", "/v1/models/tf1/version/50:predict"),
        ("POST", "/v1/models/tf1/version/50:regress"),
        ("POST", "/v1/models/tf1/versions/HELLO:regress"),
        ("POST", "/v1/models/tf1/metadata"),
        ("POST", "/v1/models/tf1/label/stable:regress"),
        ("POST", "/v1/models/tf1/versions/50/labels/stable:regress"),
    ],
)
def test_an_unknown_path_is_a_malformed_request(server: Server, method: str, path: str) -> None:
    response = server.rest.request(method, path)
    assert response.status_code == 400
    assert response.json()["error"] == f"Malformed request: {method} {path}"


def test_paths_are_decoded_and_their_words_have_any_case(server: Server) -> None:
    response = server.rest.post("/V1/Models/t%661:Predict", json={"instances": [2.0]})
    assert response.json() == {"predictions": [3.0]}
    response = server.rest.post("/v1/models/versions/labels/st%61ble:predict?x=1", json=X_2)
    assert response.json() == {"predictions": [2.0]}


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        ([{"x": [1, 1.0]}], "x expecting type: int64"),
        ([{"x": [1.0, True]}], "x expecting type: float"),
        ([{"x": ["a", 1]}], "x expecting type: bytes"),
        ([{"x": [1, {"a": 1}]}], "x has element with unexpected JSON type: Object"),
        ([{"x": [[1], 2]}], "x has element with unexpected JSON type: Array"),
        ([{"x": [1, 2**64 - 13]}], "Only int64 is supported"),
        ([{"x": 1e300}], "loss of precision"),
        ([[{"x": 1.0}]], "Example must be JSON object but got JSON Array"),
    ],
)
@pytest.mark.parametrize("verb", ["classify", "regress"])
def test_invalid_examples_are_rejected(
    server: Server, verb: str, examples: list[Any], said: str
) -> None:
    body = {"signature_name": f"{verb}_x_to_y", "examples": examples}
    response = server.rest.post(f"/v1/models/tf1:{verb}", json=body)
    assert response.status_code == 400
    assert said in response.json()["error"]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/models/tf1:predict", '{"instances": [1e400]}', 400),
        ("/v1/models/tf1:predict", '{"instances": [16777217]}', 400),
        ("/v1/models/tf1:predict", '{"instances": [1.7e308]}', 400),
        ("/v1/models/tf1:predict", '{"signature_name": ["a"], "instances": [1.0]}', 400),
        ("/v1/models/tf1:classify", '{"context": [], "examples": [{}]}', 400),
        ("/v1/models/none:predict", '{"instances": [1.0]}', 404),
        ("/v1/models/tf1/versions/7:predict", '{"instances": [1.0]}', 404),
        ("/v1/models/versions/labels/no:predict", '{"instances": [1.0]}', 400),
        ("/v1/models/tf1:predict", "{", 400),
        ("/v1/models/tf1:predict", "[]", 400),
        ("/v1/models/tf1:predict", '{"instances": []}', 400),
        ("/v1/models/tf1:predict", '{"instances": ["a"]}', 400),
        ("/v1/models/tf1:predict", '{"instances": [1.0], "inputs": [1.0]}', 400),
        ("/v1/models/tf1:predict", '{"signature_name": "none", "instances": [1.0]}', 400),
        ("/v1/models/tf1:classify", '{"examples": []}', 400),
        ("/v1/models/tf1:other", "{}", 400),
    ],
)
def test_invalid_requests_get_a_code_and_an_error(
    server: Server, path: str, body: str, code: int
) -> None:
    response = server.rest.post(path, content=body)
    assert response.status_code == code
    assert response.json()["error"]


def test_metrics_are_in_the_format_of_prometheus(server: Server) -> None:
    server.rest.post("/v1/models/tf1:predict", json={"instances": [1.0]})
    found = server.rest.get("/monitoring/prometheus/metrics")
    assert found.status_code == 200
    assert "# TYPE :tensorflow:serving:request_count counter" in found.text
