"""How a run is recorded if something goes wrong before its first node or after its last."""

from pathlib import Path

import pytest

from prodml import Output, component, pipeline
from prodml.artifacts import Schema
from prodml.compiler.compile import compile_pipeline
from prodml.compiler.spec import PipelineSpec
from prodml.errors import FencedError
from prodml.metadata.leases import LeaseTable
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import ProcessRecord, RunState
from prodml.metadata.run_writing import RunWriter
from prodml.orchestration.events.event import EventSink
from prodml.orchestration.results import NodeResult
from prodml.orchestration.run import Callbacks, run_pipeline
from prodml.orchestration.settings import RunSettings

ELSEWHERE = ProcessRecord("elsewhere", "", 1, "token")


@component
def Make(made: Output[Schema]) -> None:
    pass


@pipeline(name="one")
def one() -> None:
    Make()


class Silent:
    def node_started(self, node_id: str, reason: str) -> None: ...

    def node_progress(self, node_id: str, done: int, total: int | None, unit: str) -> None: ...

    def node_retried(self, failed: NodeResult, wait_seconds: float) -> None: ...

    def node_finished(self, result: NodeResult) -> None: ...


@pytest.fixture
def spec() -> PipelineSpec:
    return compile_pipeline(one.build({}))


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings(
        str(tmp_path / "metadata.db"), str(tmp_path / "artifacts"), str(tmp_path / "logs")
    )


@pytest.mark.parametrize("takes_lease", [True, False])
def test_a_run_that_was_closed_by_another_process_after_its_last_node_does_not_succeed(
    spec: PipelineSpec, settings: RunSettings, takes_lease: bool
) -> None:
    class TakenOver(Silent):
        def node_finished(self, result: NodeResult) -> None:
            # Another machine took this one for dead, as after a long sleep.
            store = settings.open_store()
            (run,) = LineageReader(store).runs(1)
            if takes_lease:
                assert LeaseTable(store).acquire("one", 2, "run-2", ELSEWHERE)
            assert RunWriter(store).end_run(run.run_id, RunState.FAILED, "its process died")

    with pytest.raises(FencedError, match="taken over|recorded as ended"):
        run_pipeline(spec, settings, TakenOver())
    (run,) = LineageReader(settings.open_store()).runs(1)
    assert (run.state, run.message) == (RunState.FAILED, "its process died")


def test_a_run_whose_event_sinks_do_not_open_is_not_left_running(
    spec: PipelineSpec, settings: RunSettings
) -> None:
    def refuse(run_id: str) -> list[EventSink]:
        raise OSError("no such sink")

    with pytest.raises(OSError, match="no such sink"):
        run_pipeline(spec, settings, Silent(), callbacks=Callbacks(open_sinks=refuse))
    reader = LineageReader(settings.open_store())
    assert reader.runs_in_state(RunState.RUNNING) == []
    assert run_pipeline(spec, settings, Silent()).is_success
