"""Reports of nodes are sent between processes as text."""

from pathlib import Path

from prodml.artifacts import Examples
from prodml.dsl.executor import RowCount
from prodml.orchestration.events.event import Event, EventKind
from prodml.orchestration.launch.reports import NodeReport, take_reports, write_reports
from prodml.orchestration.results import NodeResult, NodeState

COUNTS = (RowCount("train", 3, 2, {"empty": 1}),)
REPORT = NodeReport(
    NodeResult(
        "Node",
        NodeState.CACHED,
        outputs={"examples": (1, 2)},
        message="nothing changed",
        notes=("a note",),
        row_counts=COUNTS,
        seconds=1.5,
        peak_memory=1 << 30,
        log="logs/Node.log",
        execution_id=7,
        attempt=2,
        blocked_by=("Other",),
        superseded="version 3 was pushed later",
    ),
    (
        Event(EventKind.NODE_STARTED, 1.0, "run", "pipeline", "Node"),
        Event(
            EventKind.NODE_ENDED,
            2.0,
            "run",
            "pipeline",
            "Node",
            inputs={"raw": [Examples(uri="/a", id=1, properties={"span": 4})]},
            outputs={"examples": [Examples(uri="/b", custom_properties={"digest": "d"})]},
            row_counts=COUNTS,
        ),
    ),
)


def test_a_report_survives_json() -> None:
    assert NodeReport.from_json(REPORT.to_json()) == REPORT


def test_reports_are_removed_after_reading(tmp_path: Path) -> None:
    place = tmp_path / "results.json"
    write_reports(str(place), [REPORT.to_json()] * 2)
    assert take_reports(str(place)) == [REPORT, REPORT]
    assert not place.exists()


def test_reports_travel_through_an_object_store() -> None:
    place = "memory://root/pipeline/run.results.json"
    write_reports(place, [REPORT.to_json()])
    assert take_reports(place) == [REPORT]
