"""What clients of TensorFlow Serving rely on, by REST."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from conformance.conftest import Server
from conformance.served import VERSION

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


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
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
def test_what_cannot_be_answered_has_a_code_and_an_error(
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
