import json
from typing import Any

import pytest
from openlineage.client.serde import Serde
from support.openlineage_schema import problems

from prodml.artifacts import Examples, Model
from prodml.dsl.executor import RowCount
from prodml.orchestration.events.event import Event, EventKind
from prodml.orchestration.events.log_reading import LoggedEvent
from prodml.orchestration.events.openlineage import LineageEvents
from prodml.orchestration.events.openlineage_datasets import dataset_name


class Story:
    """A run, converted event by event."""

    def __init__(self, **lineage: Any) -> None:
        self._lineage = LineageEvents("prodml", **lineage)
        self.sent: list[dict[str, Any]] = []

    def tell(self, kind: EventKind, node: str = "", execution: int = 0, **fields: Any) -> None:
        event = Event(kind, 1_800_000_000.0, "run-1", "flights", node, execution, **fields)
        self.sent += [json.loads(Serde.to_json(converted)) for converted in self._lineage.of(event)]

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Jobs and their final states; every event is valid by the schema."""
        assert [problems(event) for event in self.sent] == [[]] * len(self.sent)
        return [(event["job"]["name"], event["eventType"]) for event in self.sent]


EXAMPLES = Examples(uri="/data/examples/1", id=1, custom_properties={"digest": "abc"})
MODEL = Model(uri="s3://bucket/models/model 2", id=2)


def test_a_run_and_its_nodes_are_runs_with_the_run_as_parent() -> None:
    story = Story()
    story.tell(EventKind.RUN_STARTED)
    story.tell(EventKind.NODE_STARTED, "Gen", 7, attempt=1)
    rows = [RowCount("train", 10, 9, {"no label": 1}), RowCount("eval", 5, 5, {})]
    made = {"examples": [EXAMPLES]}
    story.tell(
        EventKind.NODE_ENDED, "Gen", 7, attempt=1, state="complete", outputs=made, row_counts=rows
    )
    story.tell(EventKind.NODE_STARTED, "Trainer", 8, attempt=1, inputs=made)
    story.tell(
        EventKind.NODE_ENDED,
        "Trainer",
        8,
        attempt=1,
        state="complete",
        inputs=made,
        outputs={"model": [MODEL]},
        row_counts=rows,
    )
    story.tell(EventKind.RUN_ENDED, state="COMPLETE")
    assert story.lines == [
        ("flights", "START"),
        ("flights.Gen", "START"),
        ("flights.Gen", "COMPLETE"),
        ("flights.Trainer", "START"),
        ("flights.Trainer", "COMPLETE"),
        ("flights", "COMPLETE"),
    ]
    start, _, gen, _, trainer, _ = story.sent
    assert gen["run"]["facets"]["parent"]["run"]["runId"] == start["run"]["runId"]
    (written,) = gen["outputs"]
    assert (written["namespace"], written["name"]) == ("file", "/data/examples/1")
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 14
    assert written["facets"]["version"]["datasetVersion"] == "abc"
    (read,) = trainer["inputs"]
    assert read["inputFacets"]["inputStatistics"]["rowCount"] == 15
    (model,) = trainer["outputs"]
    assert (model["namespace"], model["name"]) == ("s3://bucket", "models/model 2")
    assert model["outputFacets"] == {}
    assert model["facets"]["dataSource"]["uri"] == "s3://bucket/models/model%202"
    assert model["facets"]["prodml_artifact"]["artifactType"] == "Model"


def test_a_node_that_did_not_run_has_a_start_and_an_end() -> None:
    story = Story()
    story.tell(EventKind.NODE_ENDED, "Gen", 7, state="cached", message="nothing changed")
    story.tell(EventKind.NODE_ENDED, "Pusher", state="skipped", message="not blessed")
    assert story.lines == [
        ("flights.Gen", "START"),
        ("flights.Gen", "COMPLETE"),
        ("flights.Pusher", "START"),
        ("flights.Pusher", "ABORT"),
    ]
    note = story.sent[1]["run"]["facets"]["prodml_execution"]
    assert (note["state"], note["note"]) == ("cached", "nothing changed")


def test_every_attempt_is_a_run_and_a_failure_says_why() -> None:
    story = Story()
    story.tell(EventKind.NODE_STARTED, "Gen", 7, attempt=1)
    story.tell(EventKind.NODE_RETRIED, "Gen", 7, attempt=1, state="failed", message="disk is gone")
    story.tell(EventKind.NODE_STARTED, "Gen", 8, attempt=2)
    story.tell(EventKind.NODE_ENDED, "Gen", 8, attempt=2, state="failed", message="gone again")
    story.tell(EventKind.RUN_ENDED, state="FAILED", message="failed in 1 node(s)")
    assert [what for _, what in story.lines] == ["START", "FAIL", "START", "FAIL", "FAIL"]
    ids = [event["run"]["runId"] for event in story.sent]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert story.sent[3]["run"]["facets"]["errorMessage"]["message"] == "gone again"


def test_nodes_that_were_interrupted_are_aborted_with_the_run() -> None:
    story = Story()
    story.tell(EventKind.NODE_STARTED, "Gen", 7, attempt=1)
    story.tell(EventKind.RUN_ENDED, state="CANCELED", message="stopped by the user")
    assert story.lines == [("flights.Gen", "START"), ("flights.Gen", "ABORT"), ("flights", "ABORT")]


def test_a_resumed_run_keeps_its_id_and_ends_what_died() -> None:
    before = Story()
    before.tell(EventKind.RUN_STARTED)
    before.tell(EventKind.NODE_STARTED, "Trainer", 8, attempt=1)
    died = LoggedEvent("", {"node": "Trainer", "execution": 8, "attempt": 1})
    after = Story(dead=[died], reported={7})
    after.tell(EventKind.RUN_RESUMED)
    after.tell(EventKind.NODE_ENDED, "Gen", 7, state="complete")
    after.tell(EventKind.NODE_STARTED, "Trainer", 9, attempt=2)
    assert after.lines == [
        ("flights.Trainer", "ABORT"),
        ("flights", "START"),
        ("flights.Trainer", "START"),
    ]
    ids = [event["run"]["runId"] for event in before.sent + after.sent]
    assert ids[0] == ids[3]
    assert ids[1] == ids[2] != ids[4]


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/data/a b", ("file", "/data/a b")),
        ("file:///data/a%20b", ("file", "/data/a b")),
        ("s3://bucket/key/of it", ("s3://bucket", "key/of it")),
        ("gs://bucket", ("gs://bucket", "/")),
        ("memory://root/x", ("memory://root", "x")),
        ("ftp://user:password@host:21/x", ("ftp://host:21", "x")),
    ],
)
def test_datasets_are_named_as_openlineage_names_them(uri: str, name: tuple[str, str]) -> None:
    assert dataset_name(uri) == name


def test_the_schema_rejects_invalid_openlineage_events() -> None:
    story = Story()
    story.tell(EventKind.NODE_ENDED, "Gen", 7, state="failed", message="why")
    event = story.sent[1]
    event["run"]["runId"] = event["run"]["facets"]["parent"]["run"]["runId"] = "run-1"
    event["eventTime"] = "yesterday"
    event["eventType"] = "FAILED"
    del event["producer"]
    del event["run"]["facets"]["errorMessage"]["programmingLanguage"]
    event["run"]["facets"]["prodml_execution"]["state"] = "gone"
    assert len(problems(event)) == 7
