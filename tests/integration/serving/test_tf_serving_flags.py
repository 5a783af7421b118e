"""Flags and files of TF Serving that only have an effect in a running server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from conformance.served import save_tf1, save_tf2
from support import warm
from support.running_server import (
    command,
    outputs,
    predict_request,
    refusal,
    running_server,
    wait_until,
)
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    model_management_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    save_tf1(root / "tf1" / "1")
    save_tf2(root / "tf2" / "00000123")
    return root


def _config(file: Path, *models: Path) -> str:
    text = "".join(
        f'config {{ name: "{model.name}" base_path: "{model}" model_platform: "tensorflow" }}'
        for model in models
    )
    file.write_text(f"model_config_list {{ {text} }}")
    return f"--model_config_file={file}"


def _of_x(request: Any, signature: str) -> Any:
    request.model_spec.name, request.model_spec.signature_name = "tf2", signature
    example = request.input.example_list.examples.add()
    example.features.feature["x"].float_list.value.append(2.0)
    return request


def test_the_check_of_method_names_refuses_classify_and_regress_for_tf2(
    models: Path, tmp_path: Path
) -> None:
    config = _config(tmp_path / "config", models / "tf2")
    with running_server(tmp_path, config, "--enable_signature_method_name_check") as server:
        classify = _of_x(classification_pb2.ClassificationRequest(), "classify_x_to_y")
        assert refusal(server.predictions.Classify, classify) == (
            "INVALID_ARGUMENT",
            "Expected classification signature method_name to be tensorflow/serving/classify. "
            "Was: tensorflow/serving/predict",
        )
        regress = _of_x(regression_pb2.RegressionRequest(), "regress_x_to_y")
        assert refusal(server.predictions.Regress, regress)[0] == "INVALID_ARGUMENT"
        both = inference_pb2.MultiInferenceRequest(input=regress.input)
        both.tasks.add(method_name="tensorflow/serving/regress").model_spec.CopyFrom(
            regress.model_spec
        )
        assert refusal(server.predictions.MultiInference, both)[0] == "INVALID_ARGUMENT"
        predict = predict_request("tf2", x=[2.0])
        assert outputs(server.predictions.Predict(predict))["y"].tolist() == [3.0]


def test_answers_are_in_tensor_content_if_asked_for(models: Path, tmp_path: Path) -> None:
    config = _config(tmp_path / "config", models / "tf1")
    with running_server(tmp_path, config, "--enable_serialization_as_tensor_content") as server:
        answer = server.predictions.Predict(predict_request("tf1", x=[2.0]), timeout=20)
        assert answer.outputs["y"].tensor_content == np.float32([3.0]).tobytes()
        assert not answer.outputs["y"].float_val


def test_a_config_file_that_does_not_parse_ends_the_start_in_tf_servings_words(
    tmp_path: Path,
) -> None:
    file = tmp_path / "models.config"
    file.write_text("improperly formatted file")
    ended = warm.run(
        command("--port=1", f"--model_config_file={file}"),
        libraries=warm.TENSORFLOW,
        capture_output=True,
        timeout=60,
    )
    assert ended.returncode == 2
    said = ended.stderr.decode()
    assert f"Invalid protobuf file: '{file}'" in said
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig: 1:1" in said
    assert "Traceback" not in said


def test_a_polled_config_file_is_reloaded(models: Path, tmp_path: Path) -> None:
    tf1, tf2 = predict_request("tf1", x=[2.0]), predict_request("tf2", x=[2.0])
    config = _config(tmp_path / "config", models / "tf1")
    with running_server(tmp_path, config, "--model_config_file_poll_wait_seconds=1") as server:
        predict = server.predictions.Predict
        assert refusal(predict, tf2)[0] == "NOT_FOUND"
        _config(tmp_path / "config", models / "tf2")
        wait_until(lambda: refusal(predict, tf2)[0] == "OK")
        wait_until(lambda: refusal(predict, tf1)[0] == "NOT_FOUND")
        (tmp_path / "config").write_text("")
        wait_until(lambda: "Cannot transition to requested config" in server.output())
        assert refusal(predict, tf2)[0] == "OK"


def test_a_config_file_with_a_broken_model_is_retried_at_the_pace_of_loads(
    models: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken" / "1").mkdir(parents=True)
    config = _config(tmp_path / "config", models / "tf1")
    with running_server(tmp_path, config, "--model_config_file_poll_wait_seconds=1") as server:
        _config(tmp_path / "config", models / "tf1", tmp_path / "broken")
        wait_until(lambda: "Some models did not become available" in server.output())
        time.sleep(2.5)  # more than two polls
        assert server.output().count("Loading version 1 of broken failed") == 1
        _config(tmp_path / "config", models / "tf1", models / "tf2")
        tf2 = predict_request("tf2", x=[2.0])
        wait_until(lambda: refusal(server.predictions.Predict, tf2)[0] == "OK")


def test_a_config_file_counts_after_a_reload_when_it_changes(models: Path, tmp_path: Path) -> None:
    tf1, tf2 = predict_request("tf1", x=[2.0]), predict_request("tf2", x=[2.0])
    config = _config(tmp_path / "config", models / "tf1")
    with running_server(tmp_path, config, "--model_config_file_poll_wait_seconds=1") as server:
        predict = server.predictions.Predict
        reload = model_management_pb2.ReloadConfigRequest()
        reload.config.model_config_list.config.add(
            name="tf2", base_path=str(models / "tf2"), model_platform="tensorflow"
        )
        server.models.HandleReloadConfigRequest(reload, timeout=20)
        time.sleep(2.5)  # more than two polls
        assert refusal(predict, tf2)[0] == "OK"
        assert refusal(predict, tf1)[0] == "NOT_FOUND"
        _config(tmp_path / "config", models / "tf1", models / "tf2")
        wait_until(lambda: refusal(predict, tf1)[0] == "OK")
        assert refusal(predict, tf2)[0] == "OK"


@pytest.mark.parametrize("milliseconds", [0, -1])
def test_without_a_timeout_a_rest_request_may_take_any_time(
    models: Path, tmp_path: Path, milliseconds: int
) -> None:
    config = _config(tmp_path / "config", models / "tf1")
    with running_server(tmp_path, config, f"--rest_api_timeout_in_ms={milliseconds}") as server:
        answer = httpx.post(f"{server.url}/v1/models/tf1:predict", json={"instances": [2.0]})
        assert (answer.status_code, answer.json()) == (200, {"predictions": [3.0]})


def test_without_a_port_only_the_socket_answers(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "grpc.sock"
    options = (f"--model_base_path={models}/tf2", "--model_name=tf2", f"--grpc_socket_path={path}")
    arguments = "grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb"
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = warm.Popen(
            command("--port=0", *options, f"--grpc_channel_arguments={arguments}"),
            libraries=warm.TENSORFLOW,
            stderr=output,
        )
    try:
        wait_until(lambda: "Ready:" in log.read_text() or process.poll() is not None)
        assert f"Ready: gRPC on unix:{path}" in log.read_text()
        with grpc.insecure_channel(f"unix:{path}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            answer = stub.Predict(predict_request("tf2", x=[2.0]), timeout=20)
            assert outputs(answer)["y"].tolist() == [3.0]
            assert answer.model_spec.version.value == 123
    finally:
        process.terminate()
        assert process.wait(60) == 0
