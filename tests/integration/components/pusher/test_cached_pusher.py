"""A cached Pusher compares its push with the versions at its destination."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from support import warm
from support.silent import Silent

from prodml.compiler.compile import compile_pipeline
from prodml.compiler.spec import PipelineSpec
from prodml.config import load_config
from prodml.dsl.user_code import load_module
from prodml.errors import RunFailedError
from prodml.metadata.reading import LineageReader
from prodml.orchestration.resolve.plan import Action, NodePlan, make_plan
from prodml.orchestration.results import NodeResult, NodeState
from prodml.orchestration.run import run_pipeline

PIPELINE = """
import os
from prodml import Output, Parameter, component, pipeline
from prodml.artifacts import Model
from prodml.components import PushDestination, Pusher

@component
def Train(model: Output[Model], weights: Parameter[str]):
    os.makedirs(model.serving_model_dir)
    with open(os.path.join(model.serving_model_dir, "saved_model.pb"), "w") as file:
        file.write(weights)

def push(weights):
    Pusher(
        model=Train(weights=weights).outputs["model"],
        push_destination=PushDestination(PushDestination.Filesystem(base_directory="serving")),
    )

@pipeline(name="{name}")
def models(weights: str = "good"):
    push(weights)
"""


class Workplace:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.serving = root / "serving"
        self.config = load_config(None, {})
        for name in ("models", "others"):
            (root / f"{name}.py").write_text(PIPELINE.replace("{name}", name))

    def spec(self, weights: str, name: str) -> PipelineSpec:
        module = load_module(str(self.root / f"{name}.py"))
        return compile_pipeline(module.models.build({"weights": weights}))

    def run(self, weights: str = "good", name: str = "models") -> NodeResult:
        """Runs a pipeline, and returns the result of its Pusher."""
        settings = self.config.run_settings(use_cache=True)
        return run_pipeline(self.spec(weights, name), settings, Silent()).nodes[-1]

    def plan(self, weights: str = "good") -> NodePlan:
        reader = LineageReader(self.config.open_store())
        return make_plan(self.spec(weights, "models"), reader, use_cache=True).nodes[-1]

    def prodml(self, *arguments: str, code: int) -> str:
        command = [sys.executable, "-m", "prodml", *arguments]
        ran = warm.run(command, cwd=self.root, capture_output=True, text=True)
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def copy_by_hand(self, weights: str) -> int:
        """Adds a version that prodml did not push, newer than all others."""
        version = max(self.versions) + 10
        shutil.copytree(self.serving / str(min(self.versions)), self.serving / str(version))
        (self.serving / str(version) / "saved_model.pb").write_text(weights)
        os.remove(self.serving / str(version) / ".prodml-push.json")
        return version

    @property
    def versions(self) -> Mapping[int, str]:
        """The weights of each version, ascending."""
        return {
            int(path.name): (path / "saved_model.pb").read_text()
            for path in sorted(self.serving.iterdir())
            if path.name.isdigit()
        }

    @property
    def weights(self) -> list[str]:
        return list(self.versions.values())


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    monkeypatch.chdir(tmp_path)
    return Workplace(tmp_path)


def test_after_a_revert_the_good_model_is_pushed_again(work: Workplace) -> None:
    work.run("good")
    work.run("bad")
    good, bad = work.versions
    why = (
        f"version {bad} in {work.serving} is newer than version {good}, under which this model "
        f"was pushed"
    )
    assert work.plan("good") == NodePlan("Pusher", Action.RUN, why)
    assert work.run("good").message == why
    assert work.weights == ["good", "bad", "good"]


def test_reverting_a_revert_pushes_once(work: Workplace) -> None:
    for weights in ("good", "bad", "good", "bad"):
        work.run(weights)
    assert work.run("bad").state is NodeState.CACHED
    assert work.weights == ["good", "bad", "good", "bad"]


def test_an_unchanged_run_does_not_push_again(work: Workplace) -> None:
    work.run()
    assert work.run().state is NodeState.CACHED
    assert work.weights == ["good"]


def test_a_newer_version_of_another_pipeline_is_kept_and_reported(work: Workplace) -> None:
    work.run("good")
    work.run("other", "others")
    _, theirs = work.versions
    for _ in range(2):
        result = work.run("good")
        assert result.state is NodeState.CACHED
        by = f"version {theirs} in {work.serving}, pushed by Pusher of pipeline others, is newer"
        assert result.superseded and by in result.superseded
    assert work.weights == ["good", "other"]
    assert work.run("other", "others").superseded is None


def test_the_same_model_pushed_by_another_pipeline_is_accepted(work: Workplace) -> None:
    work.run("good")
    work.run("good", "others")
    assert work.run("good").superseded is None


def test_a_newer_version_that_was_copied_by_hand_is_kept_and_reported(work: Workplace) -> None:
    work.run("good")
    version = work.copy_by_hand("mended")
    result = work.run("good")
    assert result.superseded
    assert f"version {version} in {work.serving}, copied there, is newer" in result.superseded
    assert work.weights == ["good", "mended"]


def test_a_version_that_was_removed_by_hand_is_not_restored_and_reported(work: Workplace) -> None:
    work.run("good")
    work.run("bad")
    good, bad = work.versions
    shutil.rmtree(work.serving / str(bad))
    removed = f"version {bad} was removed from {work.serving}, the newest version is now {good}"
    result = work.run("bad")
    assert result.superseded and removed in result.superseded
    assert removed in work.plan("bad").reason
    assert work.weights == ["good"]
    assert work.run("good").superseded is None


def test_a_destination_without_any_version_gets_the_model_again(work: Workplace) -> None:
    work.run()
    shutil.rmtree(work.serving)
    assert work.plan() == NodePlan("Pusher", Action.RUN, f"there is no version in {work.serving}")
    work.run()
    assert work.weights == ["good"]


def test_a_destination_that_cannot_be_read_fails_the_node(work: Workplace) -> None:
    work.run()
    shutil.rmtree(work.serving)
    work.serving.write_text("a file")
    assert work.plan().action is Action.FAIL
    with pytest.raises(RunFailedError, match=f"Pusher: {work.serving}: Not a directory"):
        work.run()


def test_require_push_checks_that_the_model_of_the_run_is_the_newest(work: Workplace) -> None:
    work.run("good")
    work.prodml("run", "models.py", "--require-push", code=0)
    version = work.copy_by_hand("mended")
    output = work.prodml("run", "models.py", "--require-push", code=3)
    assert f"Pusher: version {version} in {work.serving}, copied there, is newer" in output
    assert f"version {version} in {work.serving}" in work.prodml("show", "latest", code=0)
