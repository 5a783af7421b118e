import itertools
from pathlib import Path

import pytest

from prodml.artifacts import Examples, Model
from prodml.errors import FencedError, NotFoundError
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import Attempt, State
from prodml.metadata.release_writing import ReleaseWriter
from prodml.metadata.run_writing import RunWriter
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter

attempts = itertools.count(1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "deep" / "metadata.db"))


def made(writer: LineageWriter, pipeline: str, uri: str, fingerprint: str = "f") -> int:
    # Names of attempts are unique, so each execution gets the next attempt of the node.
    attempt = next(attempts)
    execution = writer.begin_execution(
        Attempt(pipeline, "run", "node", "Type", attempt), {}, {}, [fingerprint]
    )
    outputs = {"model": [Model(final_uri=uri, custom_properties={"output_key": "model"})]}
    return writer.complete_execution(execution, {"k": 1}, outputs)["model"][0]


def test_contexts_have_the_names_that_tfx_gives_them(store: Store) -> None:
    writer = LineageWriter(store)
    RunWriter(store).begin_run("flights", "run", "{}")
    made(writer, "flights", "/m")
    found = {(c.type, c.name) for c in store.read("contexts", lambda raw: raw.get_contexts())}
    # Without prodml's own contexts, whose types have the prefix.
    assert {each for each in found if not each[0].startswith("prodml.")} == {
        ("pipeline", "flights"),
        ("pipeline_run", "run"),
        ("node", "flights.node"),
        ("execution_cache", "f"),
    }


def test_runs_come_newest_first_and_by_pipeline(store: Store) -> None:
    writer, reader = RunWriter(store), LineageReader(store)
    for name, run in [("a", "1"), ("b'", "2"), ("a", "3")]:
        writer.begin_run(name, run, "{}")
    assert [r.run_id for r in reader.runs(10)] == ["3", "2", "1"]
    assert [r.run_id for r in reader.runs(1)] == ["3"]
    assert [r.run_id for r in reader.runs(10, "b'")] == ["2"]


def test_an_unknown_run_is_an_error_with_advice(store: Store) -> None:
    with pytest.raises(NotFoundError, match="prodml runs"):
        LineageReader(store).run("no")


def test_publishing_makes_execution_outputs_and_events_visible_at_once(store: Store) -> None:
    writer, reader = LineageWriter(store), LineageReader(store)
    execution = writer.begin_execution(Attempt("p", "run", "node", "Type"), {"x": "y"}, {})
    assert reader.executions([execution])[0].state is State.RUNNING
    assert reader.list_artifacts(10) == []
    examples = Examples(final_uri="/e", properties={"span": 4, "split_names": '["train"]'})
    ids = writer.complete_execution(execution, {"k": 1.5}, {"examples": [examples]})
    (record,) = reader.artifacts(ids["examples"])
    assert (record.type_name, record.uri, record.state) == ("Examples", "/e", "LIVE")
    assert record.properties == {"span": 4, "split_names": '["train"]'}
    (link,) = reader.links_of_executions([execution])
    assert (link.key, link.index, link.is_output) == ("examples", 0, True)
    assert reader.executions([execution])[0].properties["k"] == 1.5


def test_a_failed_execution_leaves_no_outputs(store: Store) -> None:
    writer, reader = LineageWriter(store), LineageReader(store)
    execution = writer.begin_execution(Attempt("p", "run", "node", "Type"), {}, {})
    writer.end_execution(execution, State.FAILED, {"message": "no"})
    assert reader.executions([execution])[0].state is State.FAILED
    assert reader.cached_executions("f") == []


def test_using_an_artifact_does_not_clear_its_fields(store: Store) -> None:
    writer, reader = LineageWriter(store), LineageReader(store)
    model = made(writer, "p", "/m")
    before = reader.artifacts([model])
    writer.begin_execution(Attempt("p", "run", "next", "Type"), {}, {"model": [Model(id=model)]})
    writer.record_existing(
        Attempt("p", "run", "again", "Type"), State.CACHED, {}, {}, {"model": [Model(id=model)]}
    )
    assert reader.artifacts([model]) == before


def test_a_write_retried_after_a_lost_response_is_recorded_once(store: Store) -> None:
    writer, reader = LineageWriter(store), LineageReader(store)
    outputs = {"model": [Model(final_uri="/m")]}
    for _ in range(2):
        RunWriter(store).begin_run("p", "run", "{}")
        writer.record_existing(Attempt("p", "run", "found", "Type"), State.COMPLETE, {}, {}, {})
    first, again = (
        writer.begin_execution(Attempt("p", "run", "n", "Type"), {}, {}) for _ in range(2)
    )
    assert first == again
    ids, ids_again = (writer.complete_execution(first, {}, outputs) for _ in range(2))
    assert ids == ids_again
    assert len(reader.executions_of_run("run")) == 2
    assert [a.id for a in reader.list_artifacts(10)] == ids["model"]


def test_an_execution_whose_end_is_recorded_publishes_nothing(store: Store) -> None:
    writer, reader = LineageWriter(store), LineageReader(store)
    execution = writer.begin_execution(Attempt("p", "run", "node", "Type"), {}, {})
    writer.end_execution(execution, State.FAILED, {"message": "its run died"})
    with pytest.raises(FencedError, match="closed the run of execution 1"):
        writer.complete_execution(execution, {}, {"model": [Model(final_uri="/m")]})
    assert reader.list_artifacts(10) == []


def test_the_cache_returns_the_newest_execution_first(store: Store) -> None:
    writer, reader = LineageWriter(store), LineageReader(store)
    made(writer, "p", "/one")
    made(writer, "p", "/two")
    found = reader.cached_executions("f")
    assert [e.id for e in found] == sorted((e.id for e in found), reverse=True)
    assert len(found) == 2
    assert reader.cached_executions("other") == []


def test_newest_artifacts_are_of_one_pipeline_only_and_cross_pages(store: Store) -> None:
    writer, reader = LineageWriter(store), LineageReader(store)
    ours = [made(writer, "ours", f"/{i}") for i in range(45)]
    made(writer, "theirs", "/other")
    assert [r.id for r in reader.newest_artifacts("ours", "Model")] == ours[::-1]
    assert list(reader.newest_artifacts("ours", "Model", output_key="other_key")) == []
    assert list(reader.newest_artifacts("ours", "Model", producer="Other")) == []
    assert list(reader.newest_artifacts("nobody", "Model")) == []


def test_the_latest_baseline_is_valid_until_it_is_reset(store: Store) -> None:
    writer, reader = LineageWriter(store), LineageReader(store)
    one, two = made(writer, "p", "/1"), made(writer, "p", "/2")
    assert reader.pinned_model("p") is None
    ReleaseWriter(store).record_baseline("p", "set", one, "ada", "it is calmer")
    ReleaseWriter(store).record_baseline("p", "set", two, "ada", "better still")
    assert reader.pinned_model("p") == two
    assert reader.pinned_model("other") is None
    ReleaseWriter(store).record_baseline("p", "reset", 0, "ada", "enough")
    assert reader.pinned_model("p") is None


def test_an_execution_may_use_an_artifact_under_two_keys(store: Store) -> None:
    writer, reader = LineageWriter(store), LineageReader(store)
    model = Model(id=made(writer, "p", "/m"))
    execution = writer.begin_execution(
        Attempt("p", "run", "compare", "Type"), {}, {"model": [model], "baseline_model": [model]}
    )
    links = reader.links_of_executions([execution])
    assert {(link.key, link.is_output) for link in links} == {
        ("model", False),
        ("baseline_model", False),
    }


def test_a_writer_owns_what_another_process_began_in_its_session(store: Store) -> None:
    owner, stranger, reader = LineageWriter(store), LineageWriter(store), LineageReader(store)
    worker = LineageWriter(store, session=owner.session)
    attempt = Attempt("p", "run", "node", "Type")
    begun = [writer.begin_execution(attempt, {}, {}) for writer in (owner, worker)]
    by_owner, by_worker = reader.executions(begun)
    assert by_owner.name != by_worker.name
    assert owner.is_own(by_owner) and owner.is_own(by_worker)
    assert not stranger.is_own(by_owner) and not stranger.is_own(by_worker)
