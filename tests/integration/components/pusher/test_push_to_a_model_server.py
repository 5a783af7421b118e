"""A push to a model server is complete when the server serves the version."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from support.running import execute
from support.running_server import RunningServer, running_server
from support.served_models import Scorer, save

from prodml.artifacts import InfraBlessing, Model
from prodml.components.pusher.component import PushDestination, Pusher
from prodml.dsl.channel import Channel
from prodml.errors import ServingError
from prodml.serving.clients.grpc_messages import predict_request
from prodml.serving.rollouts.rollout import Author, Rollout, RolloutTarget

COLUMNS = {"distance": np.float32([[1000]]), "hour": np.int64([[12]]), "origin": [[b"EWR"]]}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return save(Scorer(), tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def broken(good: Model, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model whose variables are missing."""
    model = Model(uri=str(tmp_path_factory.mktemp("broken")))
    shutil.copytree(good.serving_model_dir, model.serving_model_dir)
    shutil.rmtree(Path(model.serving_model_dir) / "variables")
    return model


@pytest.fixture
def base(good: Model, tmp_path: Path) -> Path:
    base = tmp_path / "late"
    shutil.copytree(good.serving_model_dir, base / "1")
    return base


@pytest.fixture
def server(base: Path) -> RunningServer:
    options = ("--model_name=late", f"--model_base_path={base}", "--max_num_load_retries=0")
    with running_server(base.parent, *options) as server:
        yield server


def push(model: Model, base: Path, server: RunningServer, tmp_path: Path) -> int:
    destination = PushDestination.ModelServer(
        base_directory=str(base), address=server.address, timeout_seconds=30
    )
    pusher = Pusher(
        model=Channel(type=Model), push_destination=PushDestination(model_server=destination)
    )
    pushed = execute(pusher, {"model": model}, tmp_path).outputs["pushed_model"]
    assert pushed.custom_properties["pushed_endpoint"] == server.address
    return int(str(pushed.custom_properties["pushed_version"]))


def test_a_push_returns_when_the_server_serves_the_version(
    good: Model, base: Path, server: RunningServer, tmp_path: Path
) -> None:
    version = push(good, base, server, tmp_path)
    with server.client() as client:
        scores = client.predict("late", COLUMNS, version=version, signature="serving_raw")
    np.testing.assert_allclose(scores["scores"], [[1.75]])


def test_a_version_that_cannot_be_loaded_is_removed_and_the_old_one_is_kept(
    broken: Model, base: Path, server: RunningServer, tmp_path: Path
) -> None:
    with pytest.raises(ServingError, match=r"does not serve version \d+, which has been removed"):
        push(broken, base, server, tmp_path)
    assert [path.name for path in base.iterdir() if path.name.isdigit()] == ["1"]
    with server.client() as client:
        assert client.predict("late", COLUMNS, version=1, signature="serving_raw")


def test_a_push_to_a_server_with_labels_moves_no_label(
    good: Model, broken: Model, base: Path, server: RunningServer, tmp_path: Path
) -> None:
    author = Author("ann@desk")
    with server.client() as client:
        rollout = Rollout(RolloutTarget.of(str(base)), {}, client)
        rollout.promote(author, 1)
        version = push(good, base, server, tmp_path)
        stable = predict_request("late", COLUMNS, label="stable", signature="serving_raw")
        assert client.predict_proto(stable).model_spec.version.value == 1
        assert client.predict("late", COLUMNS, version=version, signature="serving_raw")
        with pytest.raises(ServingError, match="has been removed"):
            push(broken, base, server, tmp_path)
        assert client.predict("late", COLUMNS, label="stable", signature="serving_raw")
        assert rollout.canary(author).after.labels == {"stable": 1, "canary": version}


def test_the_model_that_infra_validation_stamped_is_pushed(
    good: Model, base: Path, tmp_path: Path
) -> None:
    stamped = InfraBlessing(uri=str(tmp_path / "blessing"))
    stamped.custom_properties.update(blessed=1, has_model=1)
    shutil.copytree(good.serving_model_dir, tmp_path / "blessing" / "stamped_model")
    extra = tmp_path / "blessing" / "stamped_model" / "assets.extra"
    extra.mkdir()
    (extra / "tf_serving_warmup_requests").write_bytes(b"")
    pusher = Pusher(
        model=Channel(type=Model),
        infra_blessing=Channel(type=InfraBlessing),
        push_destination=PushDestination(PushDestination.Filesystem(str(base))),
    )
    context = execute(pusher, {"model": good, "infra_blessing": stamped}, tmp_path)
    pushed = Path(str(context.outputs["pushed_model"].custom_properties["pushed_destination"]))
    assert (pushed / "assets.extra" / "tf_serving_warmup_requests").exists()


def test_a_destination_needs_exactly_one_kind() -> None:
    for wrong in ({}, {"filesystem": PushDestination.Filesystem("a"),
                       "model_server": PushDestination.ModelServer("a")}):  # fmt: skip
        with pytest.raises(ValueError, match="one of filesystem and model_server"):
            PushDestination(**wrong)
