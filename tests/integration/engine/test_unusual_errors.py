"""Unexpected errors end a run, release its pipeline, and say what happened."""

import json
import sys
from pathlib import Path

import pytest
from support import warm

PIPELINE = """
import errno, os, shutil
from pathlib import Path
from prodml import Channel, Input, Output, Parameter, component, pipeline
from prodml.artifacts import Schema
from prodml.components import Resolver

class Flaky:
    def resolve(self, keys, candidates):
        fail("strategy")
        return {key: [] for key in keys}

def fail(where):
    if not os.path.exists(where):
        return
    kind, left = Path(where).read_text().split()
    if int(left) == 1:
        os.remove(where)
    else:
        Path(where).write_text(f"{kind} {int(left) - 1}")
    if kind == "itself":
        error = ValueError("its own cause")
        raise error from error
    if kind == "circle":
        try:
            raise KeyError("inner")
        except KeyError as inner:
            outer = ValueError("outer")
            inner.__cause__ = outer
            raise outer from inner
    if kind == "exit":
        raise SystemExit(0)
    if kind == "store":
        os.remove(".prodml/metadata.db")
        return
    if kind == "EIO":
        raise OSError(errno.EIO, "flaky listing")
    raise {"ConnectionError": ConnectionError, "RuntimeError": RuntimeError}[kind]("as told")

@component
def Make(made: Output[Schema]):
    fail("executor")
    Path(made.uri, "text").write_text("made")

@pipeline(name="unusual")
def unusual():
    Resolver(strategy_class=Flaky, found=Channel(type=Schema))
    Make()
"""

DRIVEN = """
from prodml import Component, Output, Parameter, pipeline
from prodml.artifacts import Schema

class Listed(Component):
    made: Output[Schema]

@pipeline(name="driven")
def driven():
    Listed()
"""
DRIVER = """
import os
from prodml.dsl.executor import DriverResult

def resolve(parameters):
    if os.path.exists("driver"):
        os.remove("driver")
        raise {error}
    return DriverResult("same", "a listing", {{}})
"""
EXECUTOR = """
from pathlib import Path

def execute(context):
    Path(context.outputs["made"].uri, "text").write_text("made")
"""


class Workplace:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "pipeline.py").write_text(PIPELINE)
        (root / "driven.py").write_text(DRIVEN)
        (root / "executor.py").write_text(EXECUTOR)
        (root / "config.yaml").write_text("retry: {wait_seconds: 0.01}\n")

    def prodml(self, *arguments: str, code: int = 0) -> str:
        ran = warm.run(
            [sys.executable, "-m", "prodml", *arguments, "--config", "config.yaml"],
            cwd=self.root, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def states(self, node_id: str) -> list[str]:
        nodes = json.loads(self.prodml("show", "latest", "--json"))["nodes"]
        return [n["state"] for n in nodes if n["node_id"] == node_id]


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


@pytest.mark.parametrize("kind", ["itself", "circle"])
@pytest.mark.parametrize("where", ["executor", "strategy"])
def test_an_error_that_causes_itself_fails_its_node_and_the_pipeline_is_free(
    work: Workplace, kind: str, where: str
) -> None:
    (work.root / where).write_text(f"{kind} 1")
    said = work.prodml("run", "pipeline.py", code=1)
    assert "ValueError" in said and "Traceback" not in said
    assert "2 complete" in work.prodml("run", "--resume")


@pytest.mark.parametrize("kind", ["ConnectionError", "EIO"])
def test_a_resolver_strategy_is_retried_as_an_executor_is(work: Workplace, kind: str) -> None:
    (work.root / "strategy").write_text(f"{kind} 2")
    said = work.prodml("run", "pipeline.py")
    assert "attempt 2 follows in" in said and "2 complete" in said


def test_the_error_of_a_strategy_fails_its_node_alone(work: Workplace) -> None:
    (work.root / "strategy").write_text("RuntimeError 1")
    said = work.prodml("run", "pipeline.py", code=1)
    assert "the strategy Flaky of Resolver failed at" in said and "pipeline.py:" in said
    assert work.states("Resolver") == ["FAILED"] and work.states("Make") == ["COMPLETE"]
    log = work.prodml("logs", "latest", "Resolver")
    assert "RuntimeError: as told" in log and "Traceback" in log


def test_a_driver_is_retried_and_its_error_fails_its_node(work: Workplace) -> None:
    (work.root / "driver.py").write_text(DRIVER.format(error="ConnectionResetError('listing')"))
    (work.root / "driver").touch()
    said = work.prodml("run", "driven.py")
    assert "attempt 2 follows in" in said and "1 complete" in said
    (work.root / "driver.py").write_text(DRIVER.format(error="LookupError('no such table')"))
    (work.root / "driver").touch()
    said = work.prodml("run", "driven.py", code=1)
    assert "the driver of Listed failed at" in said and "LookupError: no such table" in said
    (work.root / "driver").touch()
    assert "the driver of Listed failed at" in work.prodml("plan", "driven.py")


def test_a_file_at_the_path_of_a_nodes_directory_is_named(work: Workplace) -> None:
    place = work.root / ".prodml/artifacts/unusual/Make"
    place.parent.mkdir(parents=True)
    place.write_text("not a directory")
    said = work.prodml("run", "pipeline.py", code=1)
    assert f"{place}: " in said and "check the path and its filesystem" in said
    place.unlink()
    assert "2 complete" in work.prodml("run", "--resume")


def test_a_removed_metadata_store_ends_the_run(work: Workplace) -> None:
    (work.root / "executor").write_text("store 1")
    said = work.prodml("run", "pipeline.py", code=1)
    assert "metadata.db" in said and "Traceback" not in said


def test_a_resumed_run_keeps_no_cache(work: Workplace) -> None:
    work.prodml("run", "pipeline.py")
    (work.root / "strategy").write_text("RuntimeError 1")
    (work.root / "executor").write_text("RuntimeError 1")
    work.prodml("run", "pipeline.py", "--no-cache", code=1)
    said = work.prodml("run", "--resume")
    assert "2 complete" in said and "cached" not in said


@pytest.mark.parametrize("where", ["executor", "strategy"])
def test_code_that_ends_the_process_fails_its_node(work: Workplace, where: str) -> None:
    (work.root / where).write_text("exit 1")
    said = work.prodml("run", "pipeline.py", code=1)
    assert "sys.exit(0) was called; raise an error, or return, instead" in said
    assert "pipeline.py:" in said and "1 complete, 1 failed" in said
    assert "2 complete" in work.prodml("run", "--resume")


def test_an_executor_with_limits_that_ends_its_process_is_not_retried(work: Workplace) -> None:
    with (work.root / "config.yaml").open("a") as file:
        file.write("nodes: {Make: {timeout_seconds: 60}}\n")
    (work.root / "executor").write_text("exit 1")
    said = work.prodml("run", "pipeline.py", code=1)
    assert "sys.exit(0) was called" in said and "attempt 2" not in said


@pytest.mark.parametrize("file", ["driver.py", "executor.py"])
def test_a_file_of_a_component_that_ends_the_process_fails_its_node(
    work: Workplace, file: str
) -> None:
    content = EXECUTOR if file == "executor.py" else DRIVER.format(error="LookupError()")
    (work.root / file).write_text(f"{content}\nraise SystemExit(0)\n")
    said = work.prodml("run", "driven.py", code=1)
    assert "sys.exit(0) was called" in said and file in said
    if file == "driver.py":
        assert "sys.exit(0) was called" in work.prodml("plan", "driven.py")


def test_a_class_whose_executor_ends_the_process_fails_its_node(work: Workplace) -> None:
    (work.root / "executor.py").write_text(f"import sys\n{EXECUTOR}    sys.exit(0)\n")
    said = work.prodml("run", "driven.py", code=1)
    assert "sys.exit(0) was called" in said and "1 failed" in said


def test_a_pipeline_file_that_ends_the_process_is_a_wrong_request(work: Workplace) -> None:
    (work.root / "pipeline.py").write_text("raise SystemExit(0)")
    for command in ("run", "plan", "compile"):
        ran = warm.run(
            [sys.executable, "-m", "prodml", command, "pipeline.py"],
            cwd=work.root, capture_output=True, text=True,
        )  # fmt: skip
        assert ran.returncode == 2
        assert "pipeline.py cannot be imported" in ran.stderr and "sys.exit(0)" in ran.stderr


@pytest.mark.parametrize("result", ["None", "{}", "DriverResult(b'same', 'a listing', {})"])
def test_a_driver_that_returns_something_else_fails_its_node(work: Workplace, result: str) -> None:
    import_line = "from prodml.dsl.executor import DriverResult"
    (work.root / "driver.py").write_text(
        f"{import_line}\ndef resolve(parameters):\n    return {result}\n"
    )
    said = work.prodml("run", "driven.py", code=1)
    assert "driver.py: resolve must return a DriverResult" in said
    assert "resolve must return a DriverResult" in work.prodml("plan", "driven.py")


def test_a_driver_that_judges_with_something_else_fails_its_node(work: Workplace) -> None:
    (work.root / "driver.py").write_text("def judge_cached(result):\n    pass\n")
    work.prodml("run", "driven.py")
    assert "judge_cached must return a CacheVerdict" in work.prodml("run", "driven.py", code=1)
    assert "judge_cached must return a CacheVerdict" in work.prodml("plan", "driven.py")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("None", "must return lists of artifacts by key, got NoneType"),
        ("{}", "returned nothing for 'found'; return an empty list if there is no artifact"),
        ("{'found': 7}", "must return a list of artifacts for 'found', got int"),
        ("{'found': [], 'more': []}", "returned 'more', which is not a channel of Resolver"),
    ],
)
def test_a_strategy_that_returns_something_else_fails_its_node(
    work: Workplace, found: str, message: str
) -> None:
    odd = PIPELINE.replace("return {key: [] for key in keys}", f"return {found}")
    (work.root / "pipeline.py").write_text(odd)
    said = work.prodml("run", "pipeline.py", code=1)
    assert f"the strategy Flaky of Resolver {message}" in said
    assert message in work.prodml("plan", "pipeline.py")
