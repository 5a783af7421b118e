"""Pusher pushes blessed models, and reports why it does not push others."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from support.running import execute

from prodml.artifacts import InfraBlessing, Model, ModelBlessing
from prodml.components.pusher.component import PushDestination, Pusher
from prodml.dsl.channel import Channel
from prodml.errors import DefinitionError, ModelContractError, StorageError


@pytest.fixture
def model(tmp_path: Path) -> Model:
    serving = tmp_path / "model" / "Format-Serving"
    serving.mkdir(parents=True)
    (serving / "saved_model.pb").write_bytes(b"graph")
    return Model(uri=str(tmp_path / "model"), id=7)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "serving"


def _pusher(base: Path, **blessings: Channel) -> Pusher:
    destination = PushDestination(PushDestination.Filesystem(base_directory=str(base)))
    return Pusher(model=Channel(type=Model), push_destination=destination, **blessings)


def test_a_blessed_model_is_pushed(model: Model, base: Path, tmp_path: Path) -> None:
    pusher = _pusher(base, model_blessing=Channel(type=ModelBlessing))
    blessing = ModelBlessing(custom_properties={"blessed": 1})
    context = execute(pusher, {"model": model, "model_blessing": blessing}, tmp_path)
    pushed = context.outputs["pushed_model"]
    version = pushed.custom_properties["pushed_version"]
    assert pushed.custom_properties == {
        "pushed": 1,
        "pushed_destination": str(base / str(version)),
        "pushed_version": version,
        "pushed_model": model.uri,
        "pushed_model_id": 7,
    }
    assert (base / str(version) / "saved_model.pb").read_bytes() == b"graph"
    assert Path(pushed.uri, "saved_model.pb").read_bytes() == b"graph"
    assert context.notes == [f"pushed version {version} to {base / str(version)}"]


def test_a_push_without_a_declared_blessing_is_reported_as_ungated(
    model: Model, base: Path, tmp_path: Path
) -> None:
    context = execute(_pusher(base), {"model": model}, tmp_path)
    assert context.outputs["pushed_model"].custom_properties["pushed"] == 1
    assert context.notes[1] == (
        "pushed without a gate: the Pusher has no model_blessing and no infra_blessing, so every "
        "model is pushed"
    )


def test_pusher_rejects_a_model_that_was_not_blessed(
    model: Model, base: Path, tmp_path: Path
) -> None:
    pusher = _pusher(base, model_blessing=Channel(type=ModelBlessing))
    blessing = ModelBlessing(custom_properties={"blessed": 0, "reason": "auc 0.5 is below 0.7"})
    context = execute(pusher, {"model": model, "model_blessing": blessing}, tmp_path)
    assert context.outputs["pushed_model"].custom_properties["pushed"] == 0
    assert context.notes == [
        "not pushed: the model was not blessed by Evaluator: auc 0.5 is below 0.7"
    ]
    assert not base.exists()


def test_pusher_rejects_a_model_whose_declared_blessing_is_absent(
    model: Model, base: Path, tmp_path: Path
) -> None:
    pusher = _pusher(base, model_blessing=Channel(type=ModelBlessing))
    context = execute(pusher, {"model": model}, tmp_path)
    assert context.outputs["pushed_model"].custom_properties["pushed"] == 0
    assert "declared model_blessing is absent" in context.notes[0]
    assert not base.exists()


def test_both_blessings_are_required_if_both_are_declared(
    model: Model, base: Path, tmp_path: Path
) -> None:
    pusher = _pusher(
        base,
        model_blessing=Channel(type=ModelBlessing),
        infra_blessing=Channel(type=InfraBlessing),
    )
    given = {
        "model": model,
        "model_blessing": ModelBlessing(custom_properties={"blessed": 1}),
        "infra_blessing": InfraBlessing(custom_properties={"blessed": 0}),
    }
    context = execute(pusher, given, tmp_path)
    assert context.notes == ["not pushed: the model was not blessed by InfraValidator"]


def test_an_artifact_without_a_saved_model_is_an_error(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelContractError, match=r"no SavedModel in .*Format-Serving"):
        execute(_pusher(base), {"model": Model(uri=str(tmp_path / "gone"))}, tmp_path)


def test_a_full_disk_is_an_error_and_nothing_is_visible(
    model: Model, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copyfile

    def full(source: str, target: str) -> str:
        if str(base) in target:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)
        return copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StorageError, match="disk is full"):
        execute(_pusher(base), {"model": model}, tmp_path)
    assert [path.name for path in base.iterdir()] == [".prodml-push.lock"]


def test_a_pusher_without_a_model_is_an_error_with_its_line() -> None:
    destination = PushDestination(PushDestination.Filesystem(base_directory="serving"))
    with pytest.raises(DefinitionError, match=r"test_pusher_executor.py:\d+: .*needs the input 'm"):
        Pusher(push_destination=destination)


def test_the_destination_can_be_a_dataclass() -> None:
    destination = {"filesystem": {"base_directory": "serving"}}
    pusher = Pusher(model=Channel(type=Model), push_destination=destination)
    assert pusher.parameters["push_destination"] == {**destination, "model_server": None}


def test_a_destination_without_a_directory_is_rejected() -> None:
    with pytest.raises(DefinitionError, match=r"push_destination.*filesystem"):
        Pusher(model=Channel(type=Model), push_destination={})
