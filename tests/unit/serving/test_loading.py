"""A version is its directory and nothing else; a version that fails to load holds nothing."""

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from support.running_server import predict_request, save_mixed
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.client.session import BaseSession
from tensorflow_serving.apis import prediction_log_pb2

from prodml.errors import ServingError
from prodml.serving.loading import ModelOptions, load_version
from prodml.serving.models.warm_up import write_warm_up_requests
from prodml.serving.observation.metrics import ServerMetrics


def test_a_version_with_a_link_that_leads_out_of_it_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("c4n4ry")
    version = tmp_path / "model" / "1"
    (version / "assets").mkdir(parents=True)
    (version / "assets" / "words").symlink_to(tmp_path / "secret")
    with pytest.raises(ServingError, match=r"1/assets/words is a link that leads out") as caught:
        load_version("model", 1, str(version), ModelOptions(), ServerMetrics())
    assert caught.value.code == "FAILED_PRECONDITION"


def _open_sessions() -> int:
    sessions = [each for each in gc.get_objects() if isinstance(each, BaseSession)]
    return sum(not session._closed for session in sessions)


def _with_malformed_default(version: Path) -> None:
    file = version / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    default = saved.meta_graphs[0].signature_def["serving_default"].defaults["x"]
    default.CopyFrom(tensor_pb2.TensorProto(dtype=tf.float32.as_datatype_enum))
    default.tensor_shape.dim.add(size=3)
    default.tensor_content = b"not three floats"
    file.write_bytes(saved.SerializeToString())


def _with_failing_warm_up(version: Path) -> None:
    log = prediction_log_pb2.PredictionLog()
    request = predict_request("mixed", x=[5000.0], n=[1], s=[b"a"])
    log.predict_log.request.CopyFrom(request)
    write_warm_up_requests(str(version), [log])


def _without_variables(version: Path) -> None:
    for file in (version / "variables").iterdir():
        file.unlink()


@pytest.mark.parametrize(
    "damage", [_with_malformed_default, _with_failing_warm_up, _without_variables]
)
def test_a_version_that_fails_to_load_leaves_no_session_open(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    version = save_mixed(tmp_path / "mixed" / "1")
    damage(version)
    before = _open_sessions()
    with pytest.raises(ServingError):
        load_version("mixed", 1, str(version), ModelOptions(), ServerMetrics())
    assert _open_sessions() == before
