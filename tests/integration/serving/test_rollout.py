"""Labels move under load, with a real server and with the file only."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from support import warm
from support.running_server import RunningServer, running_server

from prodml.errors import RolloutError, ServingError
from prodml.metadata.store import Store
from prodml.releases.recorded_rollouts import record_rollouts
from prodml.serving.configuration.model_config import default_config_path, entry, read_model_config
from prodml.serving.rollouts.rollout import Author, Rollout, RolloutTarget
from prodml.serving.rollouts.rollout_journal import journal_path, read_journal

ANN = Author("ann@desk", "because")
X = {"x": np.float32([0])}


def save_constant(value: float, directory: Path) -> None:
    """A model that answers every row with the number of its version."""
    module = tf.Module()
    module.serve = tf.function(
        lambda x: {"y": tf.fill(tf.shape(x), value)},
        input_signature=[tf.TensorSpec([None], tf.float32, name="x")],
    )
    tf.saved_model.save(module, str(directory), signatures=module.serve)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    for version in (1, 2, 3):
        save_constant(float(version), made / str(version))
    return made


@pytest.fixture
def base(models: Path, tmp_path: Path) -> Path:
    base = tmp_path / "late"
    shutil.copytree(models, base)
    return base


@pytest.fixture
def server(base: Path) -> Iterator[RunningServer]:
    with running_server(
        base.parent, "--model_name=late", f"--model_base_path={base}", "--max_num_load_retries=0"
    ) as server:
        yield server


def labels(base: Path) -> dict[str, int]:
    found = entry(read_model_config(default_config_path(str(base))), "late")
    return dict(found.version_labels)


def test_no_request_fails_while_labels_move(base: Path, server: RunningServer) -> None:
    target = RolloutTarget.of(str(base))
    answered: list[float] = []
    stop = threading.Event()
    failures: list[Exception] = []

    def ask() -> None:
        with server.client() as client:
            while not stop.is_set():
                try:
                    answer = client.predict("late", X, label="stable")
                    answered.append(float(answer["y"][0]))
                except Exception as error:
                    failures.append(error)

    with server.client() as client:
        rollout = Rollout(target, {}, client)
        rollout.promote(ANN, 1)
        thread = threading.Thread(target=ask)
        thread.start()
        try:
            rollout.canary(ANN, 2)
            assert client.predict("late", X, label="canary")["y"] == [2.0]
            rollout.promote(ANN)
            rollout.canary(ANN, 3)
            rollout.rollback(ANN)
            rollout.rollback(ANN)
        finally:
            stop.set()
            thread.join()
        assert not failures
        assert set(answered) <= {1.0, 2.0} and len(answered) > 10
        assert client.predict("late", X, label="stable")["y"] == [1.0]
        # The version that was rolled back no longer answers requests without a label.
        client.wait_until_available("late", 1)
        assert client.predict("late", X)["y"] == [1.0]
    assert [e.action for e in read_journal(target.config_path, "late")] == [
        "promote", "canary", "promote", "canary", "rollback", "rollback",
    ]  # fmt: skip


def test_a_canary_that_does_not_load_changes_nothing(base: Path, server: RunningServer) -> None:
    shutil.rmtree(base / "3" / "variables")
    (base / "3" / "saved_model.pb").write_bytes(b"broken")
    with server.client() as client:
        rollout = Rollout(RolloutTarget.of(str(base)), {}, client, timeout_seconds=30)
        rollout.promote(ANN, 1)
        with pytest.raises(ServingError, match=r"did not accept the rollout.*Cannot parse file"):
            rollout.canary(ANN, 3)
        assert labels(base) == {"stable": 1}
        assert client.predict("late", X, label="stable")["y"] == [1.0]


def test_a_rollback_needs_nothing_but_the_directory(base: Path) -> None:
    """Runs in a separate process in an empty directory: no server, ML Metadata or pipeline."""
    rollout = Rollout(RolloutTarget.of(str(base)), {1: True, 2: False})
    for version in (1, 3):
        rollout.promote(ANN, version)
    empty = base.parent / "empty"
    empty.mkdir()
    done = warm.run(
        [sys.executable, "-m", "prodml", "rollout", "rollback", str(base), "-m", "too late"],
        libraries=warm.TENSORFLOW,
        cwd=empty,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "late: stable is version 1" in done.stdout
    assert "not recorded in ML Metadata" in done.stderr
    assert labels(base) == {"stable": 1}


def test_a_version_that_was_not_blessed_is_neither_tried_nor_returned_to(base: Path) -> None:
    rollout = Rollout(RolloutTarget.of(str(base)), {2: False})
    with pytest.raises(RolloutError, match="version 2 was not blessed"):
        rollout.canary(ANN, 2)
    with pytest.raises(RolloutError, match="version 2 was not blessed"):
        rollout.promote(ANN, 2)


def test_half_copied_versions_are_ignored(base: Path) -> None:
    (base / "9").mkdir()
    rollout = Rollout(RolloutTarget.of(str(base)), {})
    with pytest.raises(RolloutError, match="has no version 9 with a model; it has: 1, 2, 3"):
        rollout.canary(ANN, 9)
    assert rollout.canary(ANN).after.labels == {"stable": 2, "canary": 3}


@pytest.mark.parametrize("point", ["write_model_config", "append_to_journal"])
def test_a_kill_between_the_steps_leaves_config_and_journal_intact(base: Path, point: str) -> None:
    rollout = Rollout(RolloutTarget.of(str(base)), {})
    rollout.promote(ANN, 1)
    killed = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import os, signal\n"
            f"from prodml.serving.rollouts import rollout\n"
            f"rollout.{point} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
            f"target = rollout.RolloutTarget.of({str(base)!r})\n"
            f"rollout.Rollout(target, {{}}).promote(rollout.Author('bob', ''), 2)\n",
        ]
    )
    assert killed.returncode == -signal.SIGKILL
    stable = labels(base)["stable"]
    assert stable == (1 if point == "write_model_config" else 2)
    # The next move reads the current labels, and adds the missing move to the journal.
    made = Rollout(RolloutTarget.of(str(base)), {}).promote(ANN, 3)
    assert made.before.stable == stable
    actions = [e.action for e in read_journal(default_config_path(str(base)), "late")]
    found = ["found"] if stable == 2 else []
    assert actions == ["promote", *found, "promote"]
    assert Rollout(RolloutTarget.of(str(base)), {}).rollback(ANN).after.stable == stable


def test_a_line_that_was_truncated_by_a_crash_is_skipped_and_removed(base: Path) -> None:
    target = RolloutTarget.of(str(base))
    Rollout(target, {}).promote(ANN, 1)
    with open(journal_path(target.config_path), "a") as journal:
        journal.write('{"id": "x", "ti')
    Rollout(target, {}).promote(ANN, 2)
    assert [e.version for e in read_journal(target.config_path, "late")] == [1, 2]


def test_other_models_of_the_config_are_kept(base: Path) -> None:
    path = default_config_path(str(base))
    path.write_text(
        'model_config_list { config { name: "other" base_path: "/other" '
        'model_platform: "tensorflow" model_version_policy { all {} } } }'
    )
    Rollout(RolloutTarget.of(str(base)), {}).promote(ANN, 1)
    config = read_model_config(path)
    assert entry(config, "other").model_version_policy.HasField("all")
    assert entry(config, "late").version_labels == {"stable": 1}


def test_moves_are_recorded_once_each(base: Path, tmp_path: Path) -> None:
    target = RolloutTarget.of(str(base))
    Rollout(target, {}).promote(ANN, 1)
    Rollout(target, {}).canary(ANN, 2)
    store = Store(str(tmp_path / "metadata.db"))
    journal = read_journal(target.config_path, "late")
    assert record_rollouts(store, journal, {}) == 2
    assert record_rollouts(store, journal, {}) == 0
    recorded = store.read("rollouts", lambda raw: raw.get_executions_by_type("prodml.Rollout"))
    values = {e.custom_properties["action"].string_value: e.custom_properties for e in recorded}
    assert values["canary"]["who"].string_value == "ann@desk"
    assert values["canary"]["labels_after"].string_value == '{"stable": 1, "canary": 2}'


def test_two_moves_at_once_wait_for_each_other(base: Path) -> None:
    processes = [
        warm.Popen(
            [sys.executable, "-m", "prodml", "rollout", "promote", str(base), "--version", version],
            libraries=warm.TENSORFLOW,
            cwd=base.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for version in ("1", "2", "3")
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len(read_journal(default_config_path(str(base)), "late")) == 3
    with contextlib.suppress(FileNotFoundError):
        assert not [n for n in os.listdir(base.parent) if n.startswith(".models.config-")]
