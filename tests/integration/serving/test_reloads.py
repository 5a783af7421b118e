"""Configs that change a running server while clients send requests."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import text_format
from support.running_server import (
    Held,
    RunningServer,
    outputs,
    predict_request,
    refusal,
    running_server,
    save_mixed,
    wait_until,
)
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2
from tensorflow_serving.config import model_server_config_pb2

_GOOD: dict[str, Any] = {"x": [1.0], "n": [2], "s": [b"a"]}
_STATE = get_model_status_pb2.ModelVersionStatus.State
_LOG = """logging_config {{
  log_collector_config {{ filename_prefix: "{}" }} sampling_config {{ sampling_rate: 1 }}
}}"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    save_mixed(root / "mixed" / "1", 0.0)
    save_mixed(root / "mixed" / "2", 100.0)
    shutil.copytree(root / "mixed", root / "other")
    (root / "broken" / "1").mkdir(parents=True)
    (root / "broken" / "1" / "saved_model.pb").write_bytes(b"no model")
    return root


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[RunningServer]:
    file = root / "models.config"
    file.write_text(text_format.MessageToString(_config(root, "mixed", versions=(1, 2))))
    with running_server(
        root,
        f"--model_config_file={file}",
        f"--model_roots={root}",
        f"--request_log_dir={root / 'logs'}",
    ) as server:
        yield server


@pytest.fixture(autouse=True)
def both_versions(server: RunningServer, root: Path) -> None:
    assert _reload(server, _config(root, "mixed", versions=(1, 2))) == ("OK", "")
    wait_until(lambda: _states(server) == {1: _STATE.AVAILABLE, 2: _STATE.AVAILABLE})


def _config(root: Path, *models: str, versions: tuple[int, ...] = (), more: str = "") -> Any:
    numbers = " ".join(f"versions: {number}" for number in versions)
    policy = f"model_version_policy {{ specific {{ {numbers} }} }}" if versions else ""
    text = "".join(
        f'config {{ name: "{name}" base_path: "{root}/{name}" model_platform: "tensorflow" '
        f"{policy} {more} }}"
        for name in models
    )
    return text_format.Parse(
        f"model_config_list {{ {text} }}", model_server_config_pb2.ModelServerConfig()
    )


def _reload(server: RunningServer, config: Any, timeout: float = 60) -> tuple[str, str]:
    request = model_management_pb2.ReloadConfigRequest(config=config)
    return refusal(server.models.HandleReloadConfigRequest, request, timeout)


def _states(server: RunningServer, model: str = "mixed") -> dict[int, int]:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model
    found = server.models.GetModelStatus(request, timeout=20).model_version_status
    return {each.version: each.state for each in found}


def _total(server: RunningServer, **choice: Any) -> float:
    request = predict_request("mixed", **(_GOOD | choice))
    return float(outputs(server.predictions.Predict(request, timeout=20))["total"][0])


@contextlib.contextmanager
def _load(server: RunningServer, **choice: Any) -> Iterator[list[str]]:
    """Runs two clients that send requests without a pause; yields the errors that they got."""
    stop, failures = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            try:
                _total(server, **choice)
            except grpc.RpcError as error:
                failures.append(error.details())

    clients = [threading.Thread(target=ask) for _ in range(2)]
    for client in clients:
        client.start()
    try:
        yield failures
    finally:
        stop.set()
        for client in clients:
            client.join()


def test_a_rollback_and_a_new_canary_under_load_serve_both_versions(
    server: RunningServer, root: Path, tmp_path: Path
) -> None:
    held = Held(tmp_path)
    held.request.model_spec.version.value = 2
    with _load(server, version=1) as failures:
        slow = server.predictions.Predict.future(held.request, timeout=60)
        held.wait_until_begun()
        assert _reload(server, _config(root, "mixed", versions=(1,))) == ("OK", "")
        assert _states(server) == {1: _STATE.AVAILABLE, 2: _STATE.UNLOADING}
        assert _reload(server, _config(root, "mixed", versions=(1, 2))) == ("OK", "")
        held.let_go()
        assert outputs(slow.result())["y"].tolist() == [1.0]
        wait_until(lambda: _states(server)[2] == _STATE.AVAILABLE)
        assert _total(server, version=2) == 103.0
    assert failures == []


def test_no_models_and_then_the_old_ones_answer_after_the_ok(
    server: RunningServer, root: Path, tmp_path: Path
) -> None:
    held = Held(tmp_path)
    slow = server.predictions.Predict.future(held.request, timeout=60)
    held.wait_until_begun()
    assert _reload(server, _config(root)) == ("OK", "")
    threading.Timer(0.5, held.let_go).start()
    assert _reload(server, _config(root, "mixed", versions=(1, 2))) == ("OK", "")
    assert _total(server) in (3.0, 103.0)
    assert outputs(slow.result())["y"].tolist() == [1.0]


def test_a_refused_config_unloads_nothing_and_moves_no_request_log(
    server: RunningServer, root: Path
) -> None:
    logged = _config(root, "mixed", versions=(1, 2), more=_LOG.format("old/log"))
    moved = _config(root, "other", "broken", more=_LOG.format("new/log"))
    assert _reload(server, logged) == ("OK", "")
    with _load(server) as failures:
        code, text = _reload(server, moved)
        assert code == "UNKNOWN"
        assert text.startswith("Some models did not become available: {broken}")
        _total(server)
    assert failures == []
    assert _states(server) == {1: _STATE.AVAILABLE, 2: _STATE.AVAILABLE}
    wait_until(lambda: _states(server, "other")[2] == _STATE.END)
    assert [path.name for path in (root / "logs").iterdir()] == ["old"]


def test_a_client_names_no_base_path_and_no_request_log_outside_of_what_the_start_allows(
    server: RunningServer, root: Path, tmp_path: Path
) -> None:
    code, text = _reload(server, _config(tmp_path, "elsewhere"))
    assert code == "PERMISSION_DENIED"
    assert text.endswith(
        "is outside of the server's model roots; start it with --model_roots to allow others"
    )
    for prefix in ("/tmp/log", "../log"):
        code, text = _reload(server, _config(root, "mixed", more=_LOG.format(prefix)))
        assert code == "PERMISSION_DENIED"
        assert f"filename_prefix of model mixed, {prefix}, is outside of" in text
    assert _states(server) == {1: _STATE.AVAILABLE, 2: _STATE.AVAILABLE}


def test_a_reload_continues_if_its_client_disconnects(server: RunningServer, root: Path) -> None:
    config = _config(root, "mixed", "other", versions=(1, 2))
    request = model_management_pb2.ReloadConfigRequest(config=config)
    call = server.models.HandleReloadConfigRequest.future(request, timeout=60)
    wait_until(lambda: _is_begun(server, "other"))
    call.cancel()
    wait_until(lambda: _states(server, "other") == {1: _STATE.AVAILABLE, 2: _STATE.AVAILABLE})
    assert outputs(server.predictions.Predict(predict_request("other", **_GOOD)))["total"] == [
        103.0
    ]


def _is_begun(server: RunningServer, model: str) -> bool:
    with contextlib.suppress(grpc.RpcError):
        return bool({_STATE.LOADING, _STATE.AVAILABLE} & set(_states(server, model).values()))
    return False
