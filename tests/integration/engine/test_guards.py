"""Guards and clean runs: which nodes do not run after a failure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.silent import Silent

from prodml.compiler.compile import compile_pipeline
from prodml.compiler.spec import PipelineSpec
from prodml.dsl.user_code import load_module
from prodml.errors import RunFailedError
from prodml.metadata.reading import LineageReader
from prodml.metadata.store import Store
from prodml.orchestration.resolve.plan import Action, NodePlan, make_plan
from prodml.orchestration.results import NodeResult, RunResult
from prodml.orchestration.run import run_pipeline
from prodml.orchestration.settings import RunSettings

PIPELINE = """
import os
from pathlib import Path
from prodml import Cond, Input, Output, Parameter, component, pipeline
from prodml.artifacts import Examples, ExampleStatistics, Model, PushedModel, Schema
from prodml.components import Importer

HERE = Path(__file__).parent

def fail_if_asked(name):
    if (HERE / f"{name}_fails").exists():
        raise ValueError(f"{name} was asked to fail")

@component
def Ingest(examples: Output[Examples]):
    examples.custom_properties["is_new"] = 1

@component
def Count(examples: Input[Examples], statistics: Output[ExampleStatistics]):
    fail_if_asked("Count")

@component
def Check(statistics: Input[ExampleStatistics], report: Output[Schema]):
    fail_if_asked("Check")

Check.judges = ("statistics",)
Check.is_thread_safe = True

@component
def Train(examples: Input[Examples], model: Output[Model]):
    pass

@component
def Profile(examples: Input[Examples], report: Output[Schema]):
    fail_if_asked("Profile")

Profile.is_thread_safe = True

@component
def Push(model: Input[Model], pushed: Output[PushedModel]):
    (HERE / "pushed").touch()

Push.needs_clean_run = True

@component
def Announce(pushed: Input[PushedModel], report: Output[Schema]):
    pass

@pipeline(name="guarded")
def guarded(only_new: int = 1, opts_out: bool = False):
    examples = Ingest().outputs["examples"]
    statistics = Count(examples=examples).outputs["statistics"]
    with Cond(examples.future()[0].custom_property("is_new") == only_new):
        Check(statistics=statistics)
    train = Train(examples=examples)
    push = Push(model=train.outputs["model"])
    Announce(pushed=push.outputs["pushed"])
    profile = Profile(examples=examples)
    if opts_out:
        profile.without_guards()

@pipeline(name="without_data")
def without_data():
    missing = Importer(source_uri=str(HERE / "missing"), artifact_type=Examples)
    Count(examples=missing.outputs["result"])
    Push(model=Train(examples=Ingest().outputs["examples"]).outputs["model"])

@pipeline(name="two_pushers")
def two_pushers():
    examples = Ingest().outputs["examples"]
    model = Train(examples=examples).outputs["model"]
    Push(model=model).with_id("first")
    Push(model=model).with_id("second")
"""


class Workplace:
    """A directory with a pipeline file, in which components can be asked to fail."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "pipeline_file.py").write_text(PIPELINE)
        self.settings = RunSettings(
            str(root / "metadata.db"), str(root / "artifacts"), str(root / "logs")
        )

    def spec(self, name: str = "guarded", **values: Any) -> PipelineSpec:
        module = load_module(str(self.root / "pipeline_file.py"))
        return compile_pipeline(getattr(module, name).build(values))

    def run(self, resumed: str | None = None, **values: Any) -> Mapping[str, NodeResult]:
        """How each node ended, whether or not the run failed."""
        record = self.reader.run(resumed) if resumed else None
        try:
            result = run_pipeline(self.spec(**values), self.settings, Silent(), record)
        except RunFailedError as failed:
            assert isinstance(failed.result, RunResult)
            result = failed.result
        self.last_run = result.run_id
        return {node.node_id: node for node in result.nodes}

    def fail(self, *names: str) -> None:
        for name in names:
            (self.root / f"{name}_fails").touch()

    def fix(self, name: str) -> None:
        (self.root / f"{name}_fails").unlink()

    def plan(self, **values: Any) -> Mapping[str, NodePlan]:
        made = make_plan(self.spec(**values), self.reader, use_cache=True)
        return {node.node_id: node for node in made.nodes}

    @property
    def reader(self) -> LineageReader:
        return LineageReader(Store(self.settings.metadata))

    @property
    def has_pushed(self) -> bool:
        return (self.root / "pushed").exists()


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def states(ended: Mapping[str, NodeResult]) -> dict[str, str]:
    return {id: str(node.state) for id, node in ended.items()}


def test_a_run_without_failures_runs_all(work: Workplace) -> None:
    assert set(states(work.run()).values()) == {"complete"}
    assert set(states(work.run()).values()) == {"cached"}


def test_a_guard_that_fails_skips_what_consumes_the_examples_and_what_follows(
    work: Workplace,
) -> None:
    work.fail("Check")
    ended = work.run()
    assert states(ended) == {
        "Ingest": "complete",
        "Count": "complete",
        "Check": "failed",
        "Train": "skipped",
        "Push": "skipped",
        "Announce": "skipped",
        "Profile": "skipped",
    }
    assert ended["Train"].message == "Check failed, and guards Ingest.examples"
    assert ended["Push"].message == "Train was skipped because Check failed"
    assert not work.has_pushed


def test_a_node_that_opts_out_runs_in_spite_of_the_guard(work: Workplace) -> None:
    work.fail("Check")
    ended = work.run(opts_out=True)
    assert states(ended)["Profile"] == "complete"
    assert states(ended)["Train"] == "skipped"


def test_a_guard_that_could_not_judge_because_of_a_failure_blocks_too(work: Workplace) -> None:
    work.fail("Count")
    ended = work.run()
    assert states(ended)["Check"] == "skipped"
    assert ended["Train"].message == (
        "Check was skipped because Count failed, and guards Ingest.examples"
    )
    assert ended["Train"].blocked_by == ("Count",)


def test_a_guard_whose_condition_is_not_met_blocks_nothing(work: Workplace) -> None:
    work.fail("Check")
    ended = work.run(only_new=2)
    assert states(ended)["Check"] == "skipped"
    assert states(ended)["Announce"] == "complete"
    assert work.has_pushed


def test_nothing_is_pushed_if_another_node_fails(work: Workplace) -> None:
    work.fail("Profile")
    ended = work.run()
    assert states(ended)["Train"] == "complete"
    assert ended["Push"].message == "Profile failed in this run"
    assert ended["Announce"].message == "Push was skipped because Profile failed"
    assert not work.has_pushed


def test_a_guard_that_failed_is_asked_again_although_all_else_is_cached(work: Workplace) -> None:
    work.run()
    (work.root / "pushed").unlink()
    work.fail("Check")
    changed = PIPELINE.replace('fail_if_asked("Check")', "fail_if_asked('Check')")
    (work.root / "pipeline_file.py").write_text(changed)
    for _ in range(2):
        ended = work.run()
        assert states(ended)["Check"] == "failed"
        assert states(ended)["Train"] == "skipped"
    assert not work.has_pushed


def test_a_resumed_run_continues_if_the_guard_passes(work: Workplace) -> None:
    work.fail("Check")
    work.run()
    work.fix("Check")
    ended = work.run(resumed=work.last_run)
    assert set(states(ended).values()) == {"complete"}
    assert ended["Count"].message == "completed before the run was resumed"
    assert work.has_pushed


def test_a_resumed_run_pushes_if_nothing_fails(work: Workplace) -> None:
    work.fail("Profile")
    work.run()
    assert states(work.run(resumed=work.last_run))["Push"] == "skipped"
    work.fix("Profile")
    assert states(work.run(resumed=work.last_run))["Push"] == "complete"


def test_two_that_need_a_clean_run_both_run(work: Workplace) -> None:
    ended = work.run(name="two_pushers")
    assert set(states(ended).values()) == {"complete"}


def test_a_plan_says_who_guards_what_and_who_waits(work: Workplace) -> None:
    plan = work.plan()
    assert plan["Check"].reason == "waits for Count, Ingest; guards Ingest.examples"
    assert plan["Train"].reason == "waits for Ingest; waits for Check, which guards Ingest.examples"
    assert plan["Push"].reason == "waits for Train; runs only if nothing in the run fails"
    work.fail("Check")
    work.run()
    plan = work.plan()
    assert plan["Check"].action is Action.RUN
    assert plan["Train"].action is Action.UNDECIDED
    assert plan["Train"].reason == "waits for Check, which guards Ingest.examples"


def test_a_plan_says_if_a_node_waits_only_for_the_rest_of_the_run(work: Workplace) -> None:
    work.fail("Profile")
    work.run()
    push = work.plan()["Push"]
    assert push.action is Action.UNDECIDED
    assert push.reason == "waits for the rest of the run, and runs only if nothing in it fails"


def test_a_plan_skips_the_push_of_a_run_in_which_a_node_would_fail(work: Workplace) -> None:
    plan = work.plan(name="without_data")
    assert plan["Importer"].action is Action.FAIL
    assert plan["Push"].action is Action.SKIP
    assert plan["Push"].reason == "Importer would fail"
    assert states(work.run(name="without_data"))["Push"] == "skipped"
