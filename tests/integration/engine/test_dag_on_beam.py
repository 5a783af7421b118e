"""Beam runs the DAG: each node inside its DoFn, on any runner, also in other processes."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from prodml.beam.profiles import RunnerProfile
from prodml.compiler.compile import compile_pipeline
from prodml.dsl.user_code import load_module
from prodml.errors import CancelledError, RunFailedError
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import State
from prodml.metadata.store import Store
from prodml.orchestration.events.event import Event, EventKind
from prodml.orchestration.results import NodeResult, NodeState, RunResult
from prodml.orchestration.run import Callbacks, run_pipeline
from prodml.orchestration.settings import NodeLimits, RunSettings

PIPELINE = """
import json, os, traceback
from pathlib import Path
from prodml import Channel, Cond, Input, Output, Parameter, component, pipeline
from prodml.artifacts import Artifact, Schema
from prodml.components import LatestArtifactStrategy, Resolver

class Report(Artifact):
    type_name = "Report"

def write(artifact):
    stack = [f"{os.path.basename(f.filename)}:{f.name}" for f in traceback.extract_stack()]
    where = {"process": os.getpid(), "stack": stack}
    Path(artifact.uri, "where.json").write_text(json.dumps(where))

@component
def First(made: Output[Report]):
    made.custom_properties["quality"] = 3
    write(made)

@component
def Second(source: Input[Report], made: Output[Schema]):
    assert source.custom_properties["quality"] == 3
    print("second ran")
    write(made)

@component
def Broken(source: Input[Report], made: Output[Schema], how: Parameter[str] = ""):
    if how == "failed":
        raise ValueError("as told")
    if how == "interrupted":
        raise KeyboardInterrupt
    write(made)

@component
def After(source: Input[Schema], made: Output[Schema]):
    write(made)

@pipeline(name="steps")
def steps(how: str = ""):
    first = First().outputs["made"]
    After(source=Second(source=first).outputs["made"])
    broken = Broken(source=first, how=how)
    After(source=broken.outputs["made"]).with_id("AfterBroken")
    with Cond(first.future()[0].custom_property("quality") > 5):
        After(source=broken.outputs["made"]).with_id("IfGood")
    Resolver(strategy_class=LatestArtifactStrategy, schema=Channel(type=Schema))
"""
BEAM_RUNNER = RunnerProfile(options={"direct_num_workers": 1})
"""FnApiRunner with options is Beam's own, and shares nothing with the process but the process."""


class OtherProcesses(RunnerProfile):
    """Beam's FnApiRunner with its workers in processes of their own."""

    def pipeline_of_long_steps(self, shared: object) -> Any:
        flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=1"]
        return beam.Pipeline(FnApiRunner(), PipelineOptions(flags))


RUNNERS = pytest.mark.parametrize(
    "dag", [RunnerProfile(), BEAM_RUNNER], ids=["ConcurrentRunner", "FnApiRunner"]
)


class Listener:
    """The person who waits, and an event sink."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.events: list[Event] = []

    def node_started(self, node_id: str, reason: str) -> None:
        self.heard.append(f"{node_id} started")

    def node_progress(self, node_id: str, done: int, total: int | None, unit: str) -> None: ...

    def node_retried(self, failed: NodeResult, wait_seconds: float) -> None: ...

    def node_finished(self, result: NodeResult) -> None:
        self.heard.append(f"{result.node_id} {result.state}")

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None: ...


class Project:
    def __init__(self, root: Path, dag: RunnerProfile) -> None:
        self.root = root
        self.listener = Listener()
        self.settings = RunSettings(
            str(root / "metadata.db"),
            str(root / "artifacts"),
            str(root / "logs"),
            dag=dag,
        )
        (root / "steps.py").write_text(PIPELINE)

    def run(self, how: str = "", is_resumed: bool = False) -> dict[str, NodeState]:
        definition = load_module(str(self.root / "steps.py")).steps
        spec = compile_pipeline(definition.build({"how": how}))
        resumed = self.reader.runs(1)[0] if is_resumed else None
        try:
            callbacks = Callbacks(open_sinks=lambda run_id: [self.listener])
            result = run_pipeline(spec, self.settings, self.listener, resumed, callbacks)
        except RunFailedError as failed:
            assert isinstance(failed.result, RunResult)
            result = failed.result
        return {node.node_id: node.state for node in result.nodes}

    @property
    def reader(self) -> LineageReader:
        return LineageReader(Store(self.settings.metadata))

    def places(self) -> dict[str, dict[str, Any]]:
        """Where each node ran, by node id."""
        found = (self.root / "artifacts").rglob("where.json")
        return {path.parts[-4]: json.loads(path.read_text()) for path in found}


COMPLETE = {
    "First": NodeState.COMPLETE,
    "Second": NodeState.COMPLETE,
    "After": NodeState.COMPLETE,
    "Broken": NodeState.COMPLETE,
    "AfterBroken": NodeState.COMPLETE,
    "IfGood": NodeState.SKIPPED,
    "Resolver": NodeState.COMPLETE,
}
FAILED = {**COMPLETE, "Broken": NodeState.FAILED, "AfterBroken": NodeState.SKIPPED}


@RUNNERS
def test_every_node_runs_inside_its_dofn(tmp_path: Path, dag: RunnerProfile) -> None:
    project = Project(tmp_path, dag)
    assert project.run() == COMPLETE
    places = project.places()
    assert len(places) == 5
    runner = (
        "bundle_processor.py:process_bundle" if dag.options else "concurrent_runner.py:_execute"
    )
    for place in places.values():
        stack = place["stack"]
        # The runner calls the DoFn, and the DoFn makes the attempt.
        assert stack.index(runner) < stack.index("dag.py:process") < stack.index("attempts.py:make")


@RUNNERS
def test_a_failure_stops_only_its_branch(tmp_path: Path, dag: RunnerProfile) -> None:
    assert Project(tmp_path, dag).run("failed") == FAILED


@RUNNERS
def test_what_happened_is_announced_and_logged(tmp_path: Path, dag: RunnerProfile) -> None:
    project = Project(tmp_path, dag)
    project.run("failed")
    heard, events = project.listener.heard, project.listener.events
    assert sorted(heard) == sorted(
        [f"{id} {state}" for id, state in FAILED.items()]
        + [f"{id} started" for id in ("First", "Second", "After", "Broken")]
    )
    assert heard.index("First complete") < heard.index("Second complete")
    assert events[0].kind is EventKind.RUN_STARTED
    assert events[-1].kind is EventKind.RUN_ENDED
    (second,) = [e for e in events if e.node_id == "Second" and e.kind is EventKind.NODE_ENDED]
    assert [a.type_name for a in second.inputs["source"]] == ["Report"]
    assert Path(second.log).read_text() == "second ran\n"
    assert list((tmp_path / "logs").rglob("*results*")) == []


@RUNNERS
def test_an_interrupt_cancels_the_run_and_leaves_nothing(
    tmp_path: Path, dag: RunnerProfile
) -> None:
    project = Project(tmp_path, dag)
    with pytest.raises(CancelledError):
        project.run("interrupted")
    states = {e.node_id: e.state for e in project.reader.executions_of_run(run_id(project))}
    assert states["First"] is State.COMPLETE and states["Broken"] is State.CANCELED
    assert list((tmp_path / "artifacts").rglob(".staging-*")) == []


@RUNNERS
def test_a_resumed_run_adopts_what_had_finished(tmp_path: Path, dag: RunnerProfile) -> None:
    project = Project(tmp_path, dag)
    project.run("failed")
    before = project.places()
    assert project.run(is_resumed=True) == COMPLETE
    after = project.places()
    assert {id: after[id] for id in before} == before
    attempts = [e.node_id for e in project.reader.executions_of_run(run_id(project))]
    assert attempts.count("First") == attempts.count("Second") == 1
    assert attempts.count("Broken") == 2


def test_nodes_run_in_other_processes(tmp_path: Path) -> None:
    project = Project(tmp_path, OtherProcesses())
    # A node with limits gets a process of its own there as well.
    project.settings = replace(project.settings, limits={"Second": NodeLimits(60)})
    assert project.run("failed") == FAILED
    processes = {id: place["process"] for id, place in project.places().items()}
    assert len({os.getpid(), processes["First"], processes["Second"]}) == 3
    assert processes["After"] == processes["First"]


def run_id(project: Project) -> str:
    return project.reader.runs(1)[0].run_id
