"""No gRPC message, however invalid, harms the server. FUZZ_EXAMPLES sets the number of examples."""

import os

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.running_server import (
    RunningServer,
    outputs,
    predict_request,
    refusal,
    running_server,
    save_estimator,
    save_mixed,
)
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import model_management_pb2, predict_pb2
from tensorflow_serving.config import model_server_config_pb2

_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
_GROWTH_MB = 400
_METHODS = [
    *(
        f"/tensorflow.serving.PredictionService/{name}"
        for name in ("Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata")
    ),
    "/tensorflow.serving.ModelService/GetModelStatus",
    # Random bytes parse as an empty config, which unloads all models, as it should.
]
_RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
_GOOD = {"x": [1.0], "n": [2], "s": [b"a"]}
_SETTINGS = settings(
    max_examples=_EXAMPLES,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz")
    save_mixed(root / "mixed" / "1")
    save_estimator(root / "estimator" / "1")
    config = root / "models.config"
    config.write_text(
        "model_config_list {"
        + "".join(
            f' config {{ name: "{name}" base_path: "{root / name}" model_platform: "tensorflow" }}'
            for name in ("mixed", "estimator")
        )
        + "}"
    )
    with running_server(
        root, f"--model_config_file={config}", "--max_request_bytes=4000000"
    ) as server:
        yield server


@pytest.fixture
def server(running: RunningServer):
    before = running.resident_mb()
    yield running
    answer = running.predictions.Predict(predict_request("mixed", **_GOOD), timeout=20)
    assert outputs(answer)["total"].tolist() == [3.0]
    assert "Traceback" not in running.output()
    assert running.resident_mb() - before < _GROWTH_MB


def _raw(server: RunningServer, method: str, message: bytes) -> str:
    try:
        server.channel.unary_unary(method)(message, timeout=20)
    except grpc.RpcError as error:
        assert "Traceback" not in error.details()
        return error.code().name
    return "OK"


_numbers = st.one_of(
    st.integers(-3, 5), st.sampled_from([10**18, 2**31, 2**63 - 1, -(2**63), 2**40, 1_000_000])
)


@st.composite
def _tensors(draw):
    proto = tensor_pb2.TensorProto(dtype=draw(st.one_of(st.integers(0, 25), _int32())))
    for size in draw(st.lists(_numbers, max_size=6)):
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_shape.unknown_rank = draw(st.integers(0, 9)) == 0
    proto.tensor_content = draw(st.binary(max_size=20))
    proto.float_val.extend(draw(st.lists(st.floats(width=32), max_size=4)))
    proto.int64_val.extend(draw(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4)))
    proto.int_val.extend(draw(st.lists(_int32(), max_size=4)))
    proto.half_val.extend(draw(st.lists(_int32(), max_size=4)))
    proto.string_val.extend(draw(st.lists(st.binary(max_size=9), max_size=4)))
    proto.scomplex_val.extend(draw(st.lists(st.floats(width=32), max_size=3)))
    return proto


def _int32():
    return st.integers(-(2**31), 2**31 - 1)


@st.composite
def _predict_requests(draw):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = draw(st.sampled_from(["mixed", "mixed", "estimator", "", "ü\0"]))
    request.model_spec.signature_name = draw(st.sampled_from(["", "parse", "flat", "no"]))
    kind = draw(st.integers(0, 5))
    if kind == 0:
        request.model_spec.version_label = draw(st.text(max_size=5))
    if kind == 1:
        request.model_spec.version.value = draw(_numbers)
    names = st.sampled_from(["x", "n", "s", "examples", "", "é"])
    for name in draw(st.sets(names, max_size=5)):
        request.inputs[name].CopyFrom(draw(_tensors()))
    request.output_filter.extend(draw(st.lists(st.sampled_from(["total", "y", ""]), max_size=3)))
    return request


@pytest.mark.parametrize("method", _METHODS)
def test_random_bytes_are_refused(server, method):
    @_SETTINGS
    @given(st.binary(max_size=200))
    def send(message):
        assert _raw(server, method, message) not in ("UNAVAILABLE", "DEADLINE_EXCEEDED")

    send()


def test_wrong_requests_are_refused_and_none_is_an_internal_error(server):
    @_SETTINGS
    @given(_predict_requests())
    def send(request):
        code = _raw(server, _METHODS[0], request.SerializeToString())
        assert code in ("OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"), request

    send()


def test_requests_with_changed_bytes_are_answered_or_refused(server):
    good = predict_request("mixed", **_GOOD).SerializeToString(deterministic=True)

    @_SETTINGS
    @given(st.integers(0, len(good) - 1), st.binary(max_size=3), st.integers(0, 3))
    def send(start, replacement, dropped):
        message = good[:start] + replacement + good[start + dropped :]
        assert _raw(server, _METHODS[0], message) not in ("UNAVAILABLE", "DEADLINE_EXCEEDED")

    send()


def test_reloads_of_wrong_configs_change_nothing(server):
    for config in (b"\xff", b"\x0a\x02\xff\xff", b"\x0a\x04\x0a\x02\x0a\x00", b""):
        assert _raw(server, _RELOAD, config) != "OK"
    request = model_management_pb2.ReloadConfigRequest()
    models = request.config.model_config_list
    for name in ("a", "a"):
        models.config.add(name=name, base_path="/nowhere", model_platform="tensorflow")
    assert refusal(server.models.HandleReloadConfigRequest, request)[0] == "INVALID_ARGUMENT"
    other = model_management_pb2.ReloadConfigRequest(
        config=model_server_config_pb2.ModelServerConfig()
    )
    other.config.custom_model_config.type_url = "type.googleapis.com/nothing"
    assert refusal(server.models.HandleReloadConfigRequest, other)[0] == "INVALID_ARGUMENT"


def test_many_inputs_and_long_names_are_refused(server):
    request = predict_request("mixed", **{f"name{i}": [1.0] for i in range(5000)})
    # A message that does not fit into a trailer becomes gRPC's own error.
    assert refusal(server.predictions.Predict, request)[0] in (
        "INVALID_ARGUMENT",
        "RESOURCE_EXHAUSTED",
    )
    request = predict_request("n" * 1_000_000, **_GOOD)
    assert refusal(server.predictions.Predict, request)[0] in ("NOT_FOUND", "RESOURCE_EXHAUSTED")
