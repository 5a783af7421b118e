"""The gRPC interface compared with TF Serving's: all kinds of models, errors, versions, labels."""

import math
import shutil
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from support.running_server import (
    Held,
    outputs,
    predict_request,
    refusal,
    running_server,
    save_estimator,
    save_mixed,
    wait_until,
)
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    prediction_log_pb2,
    regression_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from prodml.serving.models.warm_up import write_warm_up_requests

_GOOD = {"x": [1.0, 2.0], "n": [10, 20], "s": [b"a", b"\xff\x00"]}
_STATE = get_model_status_pb2.ModelVersionStatus.State


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    save_mixed(root / "mixed" / "1", 0.0)
    save_mixed(root / "mixed" / "2", 100.0)
    for policy in ("all", "specific", "swapped"):
        shutil.copytree(root / "mixed", root / policy)
    shutil.rmtree(root / "swapped" / "2")
    save_estimator(root / "estimator" / "7")
    shutil.copytree(root / "mixed" / "1", root / "defaulted" / "1")
    file = root / "defaulted" / "1" / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    signature = saved.meta_graphs[0].signature_def["serving_default"]
    signature.defaults["s"].CopyFrom(tf.make_tensor_proto([b"d", b"e"]))
    file.write_bytes(saved.SerializeToString())
    (root / "empty").mkdir()
    return root


def _config(root):
    config = model_server_config_pb2.ModelServerConfig()
    for name in ("mixed", "all", "specific", "swapped", "estimator", "defaulted", "empty"):
        model = config.model_config_list.config.add(
            name=name, base_path=str(root / name), model_platform="tensorflow"
        )
        if name == "all":
            model.model_version_policy.all.SetInParent()
        if name == "specific":
            model.model_version_policy.specific.versions.append(1)
    return config


@pytest.fixture(scope="module")
def server(root):
    file = root / "models.config"
    file.write_text(text_format.MessageToString(_config(root)))
    with running_server(root, f"--model_config_file={file}", "--max_num_load_retries=0") as server:
        yield server


def _predict(server, model, **more):
    return outputs(server.predictions.Predict(predict_request(model, **(_GOOD | more)), timeout=20))


def _status(server, model, version=None):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model
    if version is not None:
        request.model_spec.version.value = version
    found = server.models.GetModelStatus(request, timeout=20).model_version_status
    return {each.version: each for each in found}


def _examples(request, *values):
    for value in values:
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(value)
    return request


def _reload(server, config):
    request = model_management_pb2.ReloadConfigRequest(config=config)
    return refusal(server.models.HandleReloadConfigRequest, request)


def test_floats_integers_strings_and_values_that_are_no_numbers_come_back(server):
    found = _predict(server, "mixed")
    assert found["total"].tolist() == [111.0, 122.0]
    assert found["twice"].tolist() == [b"aa", b"\xff\x00\xff\x00"]
    assert np.isinf(found["ratio"]).all()
    assert math.isnan(_predict(server, "mixed", x=[0.0, 0.0])["ratio"][0])


def test_an_answer_names_model_version_and_signature(server):
    answer = server.predictions.Predict(predict_request("mixed", **_GOOD), timeout=20)
    assert answer.model_spec.name == "mixed"
    assert answer.model_spec.version.value == 2
    assert answer.model_spec.signature_name == "serving_default"


def test_an_output_filter_chooses(server):
    request = predict_request("mixed", **_GOOD)
    request.output_filter.append("twice")
    assert set(server.predictions.Predict(request, timeout=20).outputs) == {"twice"}


def test_an_input_with_a_default_may_be_left_out(server):
    request = predict_request("defaulted", x=[1.0, 2.0], n=[1, 2])
    assert outputs(server.predictions.Predict(request, timeout=20))["twice"].tolist() == [
        b"dd",
        b"ee",
    ]


def test_rows_may_be_none_at_all(server):
    nothing = {"x": np.zeros(0, np.float32), "n": np.zeros(0, np.int64), "s": np.zeros(0, object)}
    request = predict_request("mixed", x=nothing["x"], n=nothing["n"])
    request.inputs["s"].CopyFrom(tf.make_tensor_proto([], tf.string))
    found = outputs(server.predictions.Predict(request, timeout=20))
    assert {name: value.shape for name, value in found.items()} == {
        "total": (0,),
        "twice": (0,),
        "ratio": (0,),
    }


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"model": ""}, "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ({"model": "nobody"}, "NOT_FOUND", "Servable not found for request: Latest(nobody)"),
        ({"version": 9}, "NOT_FOUND", "Servable not found for request: Specific(mixed, 9)"),
        ({"label": "x"}, "INVALID_ARGUMENT", "Unrecognized servable version label: x"),
        ({"signature": "no"}, "FAILED_PRECONDITION", 'Serving signature key "no" not found.'),
        ({"x": ["text"]}, "INVALID_ARGUMENT", ""),
        ({"x": [[1.0]]}, "INVALID_ARGUMENT", ""),
        ({"x": [1.0, 2.0, 3.0]}, "INVALID_ARGUMENT", "Incompatible shapes"),
        ({"x": [5000.0, 1.0]}, "INVALID_ARGUMENT", "too large"),
        ({"y": [1.0]}, "INVALID_ARGUMENT", "Sent extra: {y}. Missing but required: {}."),
    ],
)
def test_predict_refuses_as_tf_serving_does(server, changes, code, text):
    values = _GOOD | changes
    request = predict_request(values.pop("model", "mixed"), **values)
    found = refusal(server.predictions.Predict, request)
    assert found[0] == code
    assert text in found[1]
    assert "Traceback" not in found[1]


def test_a_missing_input_is_named(server):
    request = predict_request("mixed", x=[1.0], n=[1])
    code, text = refusal(server.predictions.Predict, request)
    assert code == "INVALID_ARGUMENT"
    assert text == (
        "input size does not match signature: 2!=3 len({n,x}) != len({n,s,x}). Sent extra: {}. "
        "Missing but required: {s}."
    )


def test_bytes_that_are_not_an_example_are_an_invalid_argument(server):
    request = predict_request("mixed", signature="parse", examples=[b"\xff\xfe\x00\x80"])
    code, text = refusal(server.predictions.Predict, request)
    assert code == "INVALID_ARGUMENT"
    assert "Could not parse example" in text


def test_an_unknown_and_a_double_output_are_refused(server):
    for filtered, said in (
        (["no"], "output tensor alias not found in signature: no"),
        (["total", "total"], "duplicate output tensor alias: total"),
    ):
        request = predict_request("mixed", **_GOOD)
        request.output_filter.extend(filtered)
        code, text = refusal(server.predictions.Predict, request)
        assert (code, said in text) == ("INVALID_ARGUMENT", True)


def test_classify_and_regress_answer_row_by_row(server):
    request = _examples(classification_pb2.ClassificationRequest(), 1.5, -2.0)
    request.model_spec.name = "estimator"
    rows = server.predictions.Classify(request, timeout=20).result.classifications
    assert [[(c.label, c.score) for c in row.classes] for row in rows] == [
        [("no", -1.5), ("yes", 3.0)],
        [("no", 2.0), ("yes", -4.0)],
    ]
    request = _examples(regression_pb2.RegressionRequest(), 1.5, -2.0)
    request.model_spec.name, request.model_spec.signature_name = "estimator", "regression"
    answer = server.predictions.Regress(request, timeout=20)
    assert [row.value for row in answer.result.regressions] == [3.0, -4.0]
    assert answer.model_spec.version.value == 7


def test_a_context_is_shared_by_all_examples(server):
    request = regression_pb2.RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = "estimator", "regression"
    both = request.input.example_list_with_context
    both.context.features.feature["x"].float_list.value.append(4.0)
    both.examples.add()
    both.examples.add().features.feature["x"].float_list.value.append(5.0)
    answer = server.predictions.Regress(request, timeout=20)
    assert [row.value for row in answer.result.regressions] == [8.0, 10.0]


def test_multi_inference_answers_both_of_one_input(server):
    request = _examples(inference_pb2.MultiInferenceRequest(), 1.0)
    for kind, signature in (("classify", ""), ("regress", "regression")):
        task = request.tasks.add(method_name=f"tensorflow/serving/{kind}")
        task.model_spec.name, task.model_spec.signature_name = "estimator", signature
    classified, regressed = server.predictions.MultiInference(request, timeout=20).results
    assert classified.classification_result.classifications[0].classes[1].score == 2.0
    assert regressed.regression_result.regressions[0].value == 2.0
    request.tasks[1].CopyFrom(request.tasks[0])
    code, text = refusal(server.predictions.MultiInference, request)
    assert (code, text) == (
        "INVALID_ARGUMENT",
        "Duplicate evaluation of signature: serving_default",
    )


def test_classify_and_regress_refuse_as_tf_serving_does(server):
    empty = classification_pb2.ClassificationRequest()
    empty.model_spec.name = "estimator"
    classify, regress = server.predictions.Classify, server.predictions.Regress
    assert refusal(classify, empty) == ("INVALID_ARGUMENT", "Input is empty.")
    request = _examples(classification_pb2.ClassificationRequest(), 1.0)
    assert refusal(classify, request) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    request.model_spec.name, request.model_spec.signature_name = "estimator", "no"
    assert refusal(classify, request) == (
        "INVALID_ARGUMENT",
        "No signature was found with the name: no",
    )
    wrong = _examples(regression_pb2.RegressionRequest(), 1.0)
    wrong.model_spec.name = "estimator"
    assert refusal(regress, wrong) == (
        "INVALID_ARGUMENT",
        "Expected one output Tensor.",
    )


def test_metadata_tells_the_signatures(server):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "estimator"
    answer = server.predictions.GetModelMetadata(request, timeout=20)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(found)
    assert set(found.signature_def) == {"serving_default", "regression", "flat"}
    request.metadata_field[0] = "others"
    assert refusal(server.predictions.GetModelMetadata, request) == (
        "INVALID_ARGUMENT",
        "Metadata field others is not supported",
    )


def test_version_policies_choose_what_is_served(server):
    for model, served in (("mixed", {2}), ("all", {1, 2}), ("specific", {1}), ("estimator", {7})):
        states = {number: each.state for number, each in _status(server, model).items()}
        assert states == dict.fromkeys(served, _STATE.AVAILABLE)
    assert _predict(server, "all", version=1)["total"].tolist() == [11.0, 22.0]
    assert _predict(server, "all")["total"].tolist() == [111.0, 122.0]


def test_a_model_without_versions_is_not_found(server):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "empty"
    assert refusal(server.models.GetModelStatus, request)[0] == "NOT_FOUND"
    assert refusal(server.predictions.Predict, predict_request("empty"))[0] == "NOT_FOUND"
    assert "No versions of model empty found" in server.output()


def test_health_and_reflection_speak_of_the_services(server):
    health = health_pb2_grpc.HealthStub(server.channel)
    # One of the models has no version.
    answer = health.Check(health_pb2.HealthCheckRequest(), timeout=20)
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    database = ProtoReflectionDescriptorDatabase(server.channel)
    assert {
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
        "grpc.health.v1.Health",
    } <= set(database.get_services())
    file = database.FindFileContainingSymbol("tensorflow.serving.ModelService")
    assert [method.name for method in file.service[0].method] == [
        "GetModelStatus",
        "HandleReloadConfigRequest",
    ]


def test_labels_are_followed_and_refused_for_versions_that_do_not_answer(server, root):
    config = _config(root)
    labels = config.model_config_list.config[1].version_labels
    labels["stable"], labels["canary"] = 1, 2
    assert _reload(server, config) == ("OK", "")
    assert _predict(server, "all", label="stable")["total"].tolist() == [11.0, 22.0]
    assert _predict(server, "all", label="canary")["total"].tolist() == [111.0, 122.0]
    labels["canary"] = 3
    code, text = _reload(server, config)
    assert code == "FAILED_PRECONDITION"
    assert "label to version 3 of model all, which is not currently available" in text
    assert _predict(server, "all", label="canary")["total"].tolist() == [111.0, 122.0]
    assert _reload(server, _config(root)) == ("OK", "")


def test_a_swap_under_load_fails_no_request_and_bad_versions_replace_nothing(server, root):
    stop, failures, answered = threading.Event(), [], []

    def client():
        while not stop.is_set():
            try:
                answered.append(_predict(server, "swapped")["total"][0])
            except grpc.RpcError as error:
                failures.append(error.details())

    threads = [threading.Thread(target=client) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        base = root / "swapped"
        shutil.copytree(root / "mixed" / "2", base / "2.partial")
        (base / "2.partial").rename(base / "2")
        wait_until(lambda: answered and answered[-1] == 111.0)
        wait_until(lambda: _status(server, "swapped")[1].state == _STATE.END)
        # Half a copy.
        (base / "3").mkdir()
        shutil.copy(root / "mixed" / "1" / "saved_model.pb", base / "3")
        wait_until(lambda: 3 in _status(server, "swapped"))
        wait_until(lambda: _status(server, "swapped")[3].state == _STATE.END)
        # A warm-up that fails.
        shutil.copytree(root / "mixed" / "1", root / "cold")
        bad = predict_request("swapped", **(_GOOD | {"x": [5000.0, 1.0]}))
        log = prediction_log_pb2.PredictionLog(
            predict_log=prediction_log_pb2.PredictLog(request=bad)
        )
        write_warm_up_requests(str(root / "cold"), [log])
        (root / "cold").rename(base / "4")
        wait_until(lambda: 4 in _status(server, "swapped"))
        wait_until(lambda: _status(server, "swapped")[4].state == _STATE.END)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    found = _status(server, "swapped")
    assert found[2].state == _STATE.AVAILABLE
    assert found[3].status.error_message and found[3].status.error_code
    assert "too large" in found[4].status.error_message
    assert answered[-1] == 111.0
    assert set(answered) == {11.0, 111.0}


def test_the_server_keeps_running_after_a_deadline(server, tmp_path):
    held = Held(tmp_path)
    code, _ = refusal(server.predictions.Predict, held.request, timeout=0.1)
    assert code == "DEADLINE_EXCEEDED"
    held.let_go()
    assert _predict(server, "mixed")["total"].tolist() == [111.0, 122.0]


def test_a_message_above_the_limit_is_refused(server):
    request = predict_request("mixed", **(_GOOD | {"s": [b"a" * (65 << 20), b""]}))
    code, text = refusal(server.predictions.Predict, request)
    assert code == "RESOURCE_EXHAUSTED"
    assert "larger than max" in text


def test_an_invalid_config_changes_nothing(server, root):
    config = _config(root)
    config.model_config_list.config[0].base_path = "relative"
    code, text = _reload(server, config)
    assert code == "INVALID_ARGUMENT"
    assert "to have an absolute path or URI; got base_path()=relative" in text
    code, text = _reload(server, model_server_config_pb2.ModelServerConfig())
    assert code == "INVALID_ARGUMENT"
    assert _predict(server, "mixed")["total"].tolist() == [111.0, 122.0]
