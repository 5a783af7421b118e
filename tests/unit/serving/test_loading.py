"""A version is loaded from its directory only; a failed load keeps no resources."""

import gc
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from support.running_server import predict_request, save_mixed
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.client.session import BaseSession
from tensorflow_serving.apis import prediction_log_pb2

from prodml.errors import ServingError
from prodml.serving.configuration.server_options import ServerOptions
from prodml.serving.loading import load_version
from prodml.serving.models.warm_up import write_warm_up_requests
from prodml.serving.observation.metrics import ServerMetrics
from prodml.serving.part_options import model_options


def test_a_version_with_a_link_to_a_target_outside_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("c4n4ry")
    version = tmp_path / "model" / "1"
    (version / "assets").mkdir(parents=True)
    (version / "assets" / "words").symlink_to(tmp_path / "secret")
    with pytest.raises(ServingError, match=r"words is a link to a target outside") as caught:
        load_version("model", 1, str(version), model_options(ServerOptions()), ServerMetrics())
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
        load_version("mixed", 1, str(version), model_options(ServerOptions()), ServerMetrics())
    assert _open_sessions() == before


def test_the_init_op_of_tf2_is_declared_and_cannot_be_called(tmp_path: Path) -> None:
    version = save_mixed(tmp_path / "mixed" / "1")
    loaded = load_version("mixed", 1, str(version), model_options(ServerOptions()), ServerMetrics())
    assert loaded.servable.signature_defs.keys() - loaded.signatures.keys() == {
        "__saved_model_init_op"
    }
    loaded.servable.close()


@pytest.mark.parametrize("drops", [True, False])
def test_the_files_of_a_loaded_version_are_dropped_from_the_page_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drops: bool
) -> None:
    version = save_mixed(tmp_path / "mixed" / "1")
    forgotten: set[str] = set()

    def note(descriptor: int, offset: int, length: int, advice: int) -> None:
        if (offset, length, advice) == (0, 0, os.POSIX_FADV_DONTNEED):
            forgotten.add(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "posix_fadvise", note)
    options = model_options(ServerOptions(flush_filesystem_caches=drops))
    load_version("mixed", 1, str(version), options, ServerMetrics()).servable.close()
    files = {str(path) for path in version.rglob("*") if path.is_file()}
    assert forgotten == (files if drops else set())


def _save_for_tags(version: Path) -> None:
    """Saves graphs for the tags {serve} and {serve, gpu}, which answer 1 and 2."""
    v1 = tf.compat.v1
    builder = v1.saved_model.Builder(str(version))
    for answer, tags in ((1.0, ["serve"]), (2.0, ["serve", "gpu"])):
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, [None], "x")
            signature = v1.saved_model.predict_signature_def({"x": x}, {"y": x * answer})
            signatures = {"serving_default": signature}
            if answer == 1.0:
                v1.get_variable("one", initializer=1.0)
                session.run(v1.global_variables_initializer())
                builder.add_meta_graph_and_variables(session, tags, signatures)
            else:
                builder.add_meta_graph(tags, signatures)
    builder.save()


@pytest.mark.parametrize(
    ("tags", "answer"), [("serve", 1.0), ("serve,gpu", 2.0), ("gpu,serve", 2.0)]
)
def test_the_graph_of_exactly_the_given_tags_is_loaded(
    tmp_path: Path, tags: str, answer: float
) -> None:
    _save_for_tags(tmp_path / "1")
    options = model_options(ServerOptions(saved_model_tags=tags))
    loaded = load_version(
        "m",
        1,
        str(tmp_path / "1"),
        options,
        ServerMetrics(),
    )
    signature = loaded.signatures["serving_default"]
    feeds = {signature.inputs["x"]: np.float32([1.0])}
    assert loaded.servable.run(feeds, [signature.outputs["y"]])[0].tolist() == [answer]
    loaded.servable.close()


@pytest.mark.parametrize("tags", ["gpu", "serve,tpu", "serve,", ""])
def test_tags_that_no_graph_has_are_named(tmp_path: Path, tags: str) -> None:
    _save_for_tags(tmp_path / "1")
    options = model_options(ServerOptions(saved_model_tags=tags))
    with pytest.raises(ServingError, match="could not be found in SavedModel") as caught:
        load_version(
            "m",
            1,
            str(tmp_path / "1"),
            options,
            ServerMetrics(),
        )
    assert caught.value.code == "NOT_FOUND"
