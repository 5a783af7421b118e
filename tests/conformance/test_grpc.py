"""Behaviour that gRPC clients of TensorFlow Serving rely on."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
import tensorflow as tf
from conformance.conftest import Server
from conformance.served import VERSION
from support.running_server import outputs, predict_request, refusal
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

AVAILABLE = get_model_status_pb2.ModelVersionStatus.AVAILABLE
KINDS = pytest.mark.parametrize("model", ["tf1", "tf2"])


def _examples(request: Any, *values: float) -> Any:
    for value in values:
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(value)
    return request


def _named(request: Any, model: str, signature: str = "") -> Any:
    request.model_spec.name, request.model_spec.signature_name = model, signature
    return request


def _spec(spec: model_pb2.ModelSpec) -> tuple[str, str, int]:
    return spec.name, spec.signature_name, spec.version.value


@KINDS
@pytest.mark.parametrize("filtered", [["y"], []])
def test_predict_answers_in_the_field_of_the_type(
    server: Server, model: str, filtered: list[str]
) -> None:
    request = predict_request(model, x=[2.0, 3.0])
    request.output_filter.extend(filtered)
    answer = server.predictions.Predict(request, timeout=20)
    assert list(answer.outputs) == ["y"]
    assert answer.outputs["y"].dtype == tf.float32.as_datatype_enum
    assert list(answer.outputs["y"].float_val) == [3.0, 3.5]
    assert _spec(answer.model_spec) == (model, "serving_default", VERSION)


@KINDS
@pytest.mark.parametrize(
    ("signature", "output"), [("regress_x_to_y", "outputs"), ("classify_x_to_y", "scores")]
)
def test_predict_runs_signatures_of_the_other_methods(
    server: Server, model: str, signature: str, output: str
) -> None:
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(2.0)
    request = predict_request(model, signature=signature, inputs=[example.SerializeToString()])
    answer = server.predictions.Predict(request, timeout=20)
    assert outputs(answer)[output].tolist() == [[3.0]]
    assert _spec(answer.model_spec) == (model, signature, VERSION)


def test_integers_strings_and_booleans_go_in_and_out(server: Server) -> None:
    request = predict_request("tf2", signature="mixed", n=[1], s=[[b"a", b"\xff"]], b=[True])
    found = outputs(server.predictions.Predict(request, timeout=20))
    assert found["n"].tolist() == [2]
    assert found["joined"].tolist() == found["joined_bytes"].tolist() == [b"a\xff"]
    assert found["not_b"].tolist() == [False]


def test_a_tensor_is_filled_up_with_its_last_value(server: Server) -> None:
    request = predict_request("tf1", x=[2.0])
    request.inputs["x"].Clear()
    request.inputs["x"].dtype = tf.float32.as_datatype_enum
    request.inputs["x"].tensor_shape.dim.add(size=3)
    request.inputs["x"].float_val.append(4.0)
    assert outputs(server.predictions.Predict(request, timeout=20))["y"].tolist() == [4.0] * 3


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, 4.0 / 2 + 2),
        ({"version": 1}, 4.0 / 2 + 1),
        ({"label": "stable"}, 4.0 / 2 + 1),
        ({"label": "canary"}, 4.0 / 2 + 2),
    ],
)
def test_a_request_names_the_latest_version_a_number_or_a_label(
    server: Server, choice: dict[str, Any], expected: float
) -> None:
    request = predict_request("versions", **choice, x=[4.0])
    assert outputs(server.predictions.Predict(request, timeout=20))["y"].tolist() == [expected]


@pytest.mark.parametrize(
    ("request_", "code", "said"),
    [
        (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (predict_request("none", x=[1.0]), "NOT_FOUND", "Servable not found for request"),
        (predict_request("tf1", version=7, x=[1.0]), "NOT_FOUND", "Specific(tf1, 7)"),
        (predict_request("versions", label="no", x=[1.0]), "INVALID_ARGUMENT", "version label: no"),
        (predict_request("tf1", signature="no", x=[1.0]), "FAILED_PRECONDITION", '"no" not found'),
        (predict_request("tf1"), "INVALID_ARGUMENT", "input size does not match signature"),
        (predict_request("tf1", z=[1.0]), "INVALID_ARGUMENT", "alias not found in signature"),
        (predict_request("tf1", x=[b"a"]), "INVALID_ARGUMENT", "float"),
    ],
)
def test_predict_refuses(server: Server, request_: Any, code: str, said: str) -> None:
    found, text = refusal(server.predictions.Predict, request_)
    assert found == code
    assert said in text


@pytest.mark.parametrize("filtered", [["none"], ["y", "y"]])
def test_an_output_filter_that_does_not_fit_is_refused(server: Server, filtered: list[str]) -> None:
    request = predict_request("tf1", x=[1.0])
    request.output_filter.extend(filtered)
    assert refusal(server.predictions.Predict, request)[0] == "INVALID_ARGUMENT"


@KINDS
def test_classify_answers_models_of_tf1_and_tf2(server: Server, model: str) -> None:
    request = _named(classification_pb2.ClassificationRequest(), model, "classify_x_to_y")
    answer = server.predictions.Classify(_examples(request, 2.0, 4.0), timeout=20)
    rows = answer.result.classifications
    assert [[(each.label, each.score) for each in row.classes] for row in rows] == [
        [("", 3.0)],
        [("", 4.0)],
    ]
    assert _spec(answer.model_spec) == (model, "classify_x_to_y", VERSION)


@KINDS
def test_regress_answers_models_of_tf1_and_tf2(server: Server, model: str) -> None:
    request = _named(regression_pb2.RegressionRequest(), model, "regress_x_to_y")
    answer = server.predictions.Regress(_examples(request, 2.0, 4.0), timeout=20)
    assert [row.value for row in answer.result.regressions] == [3.0, 4.0]
    assert _spec(answer.model_spec) == (model, "regress_x_to_y", VERSION)


def test_a_context_is_shared_by_all_examples(server: Server) -> None:
    request = _named(regression_pb2.RegressionRequest(), "tf1", "regress_x_to_y")
    both = request.input.example_list_with_context
    both.context.features.feature["x"].float_list.value.append(4.0)
    both.examples.add()
    # An example's own feature takes precedence over the context's.
    both.examples.add().features.feature["x"].float_list.value.append(2.0)
    answer = server.predictions.Regress(request, timeout=20)
    assert [row.value for row in answer.result.regressions] == [4.0, 3.0]


def test_a_context_without_examples_is_an_empty_input(server: Server) -> None:
    request = _named(regression_pb2.RegressionRequest(), "tf1", "regress_x_to_y")
    context = request.input.example_list_with_context.context
    context.features.feature["x"].float_list.value.append(4.0)
    code, text = refusal(server.predictions.Regress, request)
    assert code == "INVALID_ARGUMENT"
    assert "Input is empty" in text


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        ("none", "No signature was found with the name: none"),
        ("classify_x_to_y", "outputs"),
        ("serving_default", "No regression inputs found in SignatureDef"),
    ],
)
def test_regress_rejects_other_signatures(server: Server, signature: str, said: str) -> None:
    request = _named(regression_pb2.RegressionRequest(), "tf1", signature)
    code, text = refusal(server.predictions.Regress, _examples(request, 1.0))
    assert code == "INVALID_ARGUMENT"
    assert said in text


def test_multi_inference_answers_each_task(server: Server) -> None:
    # TF2 has one input tensor per signature, so only TF1 models support both in one request.
    request = _examples(inference_pb2.MultiInferenceRequest(), 2.0)
    for kind in ("regress", "classify"):
        task = request.tasks.add(method_name=f"tensorflow/serving/{kind}")
        task.model_spec.name, task.model_spec.signature_name = "tf1", f"{kind}_x_to_y"
    first, second = server.predictions.MultiInference(request, timeout=20).results
    assert first.regression_result.regressions[0].value == 3.0
    assert second.classification_result.classifications[0].classes[0].score == 3.0
    assert _spec(first.model_spec) == ("tf1", "regress_x_to_y", VERSION)
    assert _spec(second.model_spec) == ("tf1", "classify_x_to_y", VERSION)


def _task(request: Any, model: str, kind: str, signature: str | None = None) -> Any:
    task = request.tasks.add(method_name=f"tensorflow/serving/{kind}")
    _named(task, model, f"{kind}_x_to_y" if signature is None else signature)
    return request


@pytest.mark.parametrize(
    ("tasks", "values", "code", "said"),
    [
        ([], [2.0], "INVALID_ARGUMENT", "no name"),
        ([("", "regress")], [2.0], "INVALID_ARGUMENT", "no name"),
        ([("none", "regress")], [2.0], "NOT_FOUND", "Servable not found"),
        ([("tf1", "regress")], [], "INVALID_ARGUMENT", "Input is empty"),
        ([("tf1", "regress"), ("tf2", "classify")], [2.0], "INVALID_ARGUMENT", "same model name"),
        ([("tf1", "regress"), ("", "classify")], [2.0], "INVALID_ARGUMENT", "empty model name"),
        ([("tf1", "regress"), ("tf1", "regress")], [2.0], "INVALID_ARGUMENT", "Duplicate"),
        ([("tf1", "regress", "z")], [2.0], "INVALID_ARGUMENT", "not found in model graph: z"),
        ([("tf1", "predict", "")], [2.0], "UNIMPLEMENTED", "Unsupported signature method_name"),
        ([("tf1", "classify", "")], [2.0], "INVALID_ARGUMENT", "No classification inputs"),
        ([("tf2", "regress"), ("tf2", "classify")], [2.0], "INVALID_ARGUMENT", "must be the same"),
    ],
)
def test_multi_inference_refuses(
    server: Server, tasks: list[Any], values: list[float], code: str, said: str
) -> None:
    request = _examples(inference_pb2.MultiInferenceRequest(), *values)
    for task in tasks:
        _task(request, *task)
    found, text = refusal(server.predictions.MultiInference, request)
    assert found == code
    assert said in text


@KINDS
def test_one_task_of_multi_inference_answers(server: Server, model: str) -> None:
    request = _examples(inference_pb2.MultiInferenceRequest(), 2.0)
    task = request.tasks.add(method_name="tensorflow/serving/regress")
    task.model_spec.name, task.model_spec.signature_name = model, "regress_x_to_y"
    (result,) = server.predictions.MultiInference(request, timeout=20).results
    assert result.regression_result.regressions[0].value == 3.0


@pytest.mark.parametrize(
    ("signature", "values", "said"),
    [
        ("none", [1.0], "No signature was found with the name: none"),
        ("classify_x_to_y", [], "Input is empty"),
        ("regress_x_to_y", [1.0], "classes"),
        ("serving_default", [1.0], "No classification inputs found in SignatureDef"),
    ],
)
def test_classify_rejects_other_signatures(
    server: Server, signature: str, values: list[float], said: str
) -> None:
    request = _named(classification_pb2.ClassificationRequest(), "tf1", signature)
    found, text = refusal(server.predictions.Classify, _examples(request, *values))
    assert found == "INVALID_ARGUMENT"
    assert said in text


def test_the_status_has_every_version(server: Server) -> None:
    request = _named(get_model_status_pb2.GetModelStatusRequest(), "versions")
    found = server.models.GetModelStatus(request, timeout=20).model_version_status
    assert [(each.version, each.state, each.status.error_code) for each in found] == [
        (2, AVAILABLE, 0),
        (1, AVAILABLE, 0),
    ]
    request.model_spec.version.value = 1
    found = server.models.GetModelStatus(request, timeout=20).model_version_status
    assert [each.version for each in found] == [1]
    request.model_spec.version_label = "stable"
    found = server.models.GetModelStatus(request, timeout=20).model_version_status
    assert [each.version for each in found] == [2, 1], "labels are ignored"


def test_the_status_of_a_missing_model_or_version_is_not_found(server: Server) -> None:
    status = server.models.GetModelStatus
    request = _named(get_model_status_pb2.GetModelStatusRequest(), "none")
    assert refusal(status, request) == ("NOT_FOUND", "Could not find any versions of model none")
    request = _named(get_model_status_pb2.GetModelStatusRequest(), "tf1")
    request.model_spec.version.value = 7
    assert refusal(status, request) == ("NOT_FOUND", "Could not find version 7 of model tf1")
    empty = get_model_status_pb2.GetModelStatusRequest()
    assert refusal(status, empty)[0] == "INVALID_ARGUMENT"


@KINDS
def test_metadata_has_the_signatures(server: Server, model: str) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    answer = server.predictions.GetModelMetadata(_named(request, model), timeout=20)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "classify_x_to_y", "regress_x_to_y"} <= {*signatures.signature_def}
    # TF2 also declares the operation that initializes a model as a signature.
    assert ("__saved_model_init_op" in signatures.signature_def) == (model == "tf2")
    default = signatures.signature_def["serving_default"]
    assert default.method_name == "tensorflow/serving/predict"
    assert (answer.model_spec.name, answer.model_spec.version.value) == (model, VERSION)


def test_metadata_is_of_the_version_that_is_named(server: Server) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    _named(request, "versions")
    ask = server.predictions.GetModelMetadata
    assert ask(request, timeout=20).model_spec.version.value == 2
    request.model_spec.version.value = 1
    assert ask(request, timeout=20).model_spec.version.value == 1
    request.model_spec.version_label = "canary"
    assert ask(request, timeout=20).model_spec.version.value == 2
    request.model_spec.version.value = 7
    assert refusal(ask, request)[0] == "NOT_FOUND"


@pytest.mark.parametrize("fields", [[], ["other"], ["signature_def", "other"]])
def test_other_metadata_is_refused(server: Server, fields: list[str]) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    assert refusal(server.predictions.GetModelMetadata, request)[0] == "INVALID_ARGUMENT"
    found = refusal(server.predictions.GetModelMetadata, _named(request, "tf1"))
    assert found[0] == "INVALID_ARGUMENT"


def test_a_reload_without_a_list_of_models_is_refused(server: Server) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    code, text = refusal(server.models.HandleReloadConfigRequest, request)
    assert code == "INVALID_ARGUMENT"
    assert "Only ModelConfigList is currently supported" in text


def test_a_missing_method_is_unimplemented(server: Server) -> None:
    call = server.channel.unary_unary("/tensorflow.serving.PredictionService/Other")
    with pytest.raises(grpc.RpcError) as raised:
        call(b"", timeout=20)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
