"""`prodml gc` on real stores, runs and directories."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.silent import Silent

from prodml.compiler.compile import compile_pipeline
from prodml.dsl.user_code import load_module
from prodml.errors import BusyError, RunFailedError
from prodml.metadata.leases import LeaseTable
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import ArtifactRecord, Attempt, RunState, State
from prodml.metadata.run_writing import RunWriter
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.garbage.collector import CollectionResult, collect, preview
from prodml.orchestration.garbage.decisions import KeepRules
from prodml.orchestration.ownership import leases
from prodml.orchestration.publish.manifest import seal
from prodml.orchestration.recovery.dead_runs import fail_dead_runs
from prodml.orchestration.results import NodeState, RunResult
from prodml.orchestration.run import run_pipeline
from prodml.orchestration.settings import RunSettings
from prodml.releases.baseline import set_baseline

PIPELINE = """
import os
from pathlib import Path
from prodml import Channel, Input, Output, Parameter, component, pipeline
from prodml.artifacts import Examples, Model, ModelBlessing, ModelEvaluation, PushedModel
from prodml.components.importer.component import Importer
from prodml.components.resolver.component import Resolver
from prodml.components.resolver.strategies import LatestBlessedModelStrategy

def write(artifact, text):
    Path(artifact.uri, "text").write_text(str(text))

@component
def Ingest(examples: Output[Examples], number: Parameter[int] = 1):
    write(examples, number)

@component
def Train(examples: Input[Examples], model: Output[Model], number: Parameter[int] = 1):
    write(model, number)

@component
def Judge(
    model: Input[Model],
    evaluation: Output[ModelEvaluation],
    blessing: Output[ModelBlessing],
    good: Parameter[bool] = True,
    fails: Parameter[bool] = False,
):
    if fails:
        raise ValueError("told to fail")
    write(evaluation, good)
    blessing.custom_properties.update(blessed=int(good), current_model_id=model.id)

@component
def Push(model: Input[Model], pushed_model: Output[PushedModel], serving: Parameter[str] = ""):
    directory = os.path.join(serving, str(model.id))
    os.makedirs(directory)
    pushed_model.custom_properties.update(
        pushed=1, pushed_destination=directory, pushed_model_id=model.id
    )

@pipeline(name="training")
def training(number: int = 1, good: bool = True, fails: bool = False, serving: str = ""):
    examples = Ingest(number=number).outputs["examples"]
    model = Train(examples=examples, number=number).outputs["model"]
    Judge(model=model, good=good, fails=fails)
    if serving:
        Push(model=model, serving=serving)

@pipeline(name="comparing")
def comparing(uri: str):
    Importer(source_uri=uri, artifact_type=Model)

@pipeline(name="training")
def looking():
    Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=Channel(type=Model),
        model_blessing=Channel(type=ModelBlessing),
    ).with_id("latest")
"""

KILLED = """
import os, shutil, signal, sys
from prodml.cli.main import main

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[1] == "rename":
    os.rename = die
else:
    shutil.rmtree = die
sys.argv = ["prodml", *sys.argv[2:]]
main()
"""


class Workplace:
    """A directory with pipelines, runs of them, and collections."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.artifacts = root / ".prodml" / "artifacts"
        (root / "pipeline_file.py").write_text(PIPELINE)
        home = root / ".prodml"
        self.settings = RunSettings(
            str(home / "metadata.db"), str(self.artifacts), str(home / "logs")
        )

    def run(self, name: str = "training", **values: Any) -> RunResult:
        module = load_module(str(self.root / "pipeline_file.py"))
        spec = compile_pipeline(getattr(module, name).build(values))
        return run_pipeline(spec, self.settings, Silent())

    def train(self, number: int, **values: Any) -> dict[str, ArtifactRecord]:
        """A run with a number of its own; its artifacts by type."""
        result = self.run(number=number, **values)
        ids = [i for node in result.nodes for made in node.outputs.values() for i in made]
        return {record.type_name: record for record in self.reader.artifacts(ids)}

    def collect(self, pipeline: str | None = None, **rules: Any) -> list[CollectionResult]:
        store = self.settings.open_store
        return list(collect(store, KeepRules(**rules), pipeline, quiet))

    @property
    def reader(self) -> LineageReader:
        return LineageReader(Store(self.settings.metadata))

    def state(self, record: ArtifactRecord) -> tuple[str, bool]:
        """Whether it is LIVE in the store, and whether its directory exists."""
        (now,) = self.reader.artifacts([record.id])
        return now.state, os.path.isdir(record.uri)

    def failed_executions(self, node: str, count: int) -> list[int]:
        """Ids of executions of a run that died."""
        store = Store(self.settings.metadata)
        writer, runs = LineageWriter(store), RunWriter(store)
        runs.begin_run("training", "died", "{}", 0, "", str(self.artifacts / "training"))
        attempts = range(1, count + 1)
        ids = [
            writer.begin_execution(Attempt("training", "died", node, "T", number), {}, {})
            for number in attempts
        ]
        for id in ids:
            writer.end_execution(id, State.FAILED, {})
        runs.end_run("died", RunState.FAILED)
        return ids

    def directories(self) -> list[str]:
        return sorted(str(p.relative_to(self.root)) for p in self.artifacts.rglob("*"))

    def python(self, *arguments: str, code: int = 0) -> str:
        ended = subprocess.run(
            [sys.executable, *arguments], cwd=self.root, capture_output=True, text=True
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def gc(self, *arguments: str, code: int = 0) -> str:
        return self.python(
            "-c", "from prodml.cli.main import main; main()", "gc", *arguments, code=code
        )


LIVE, GONE = ("LIVE", True), ("DELETED", False)


def quiet(what: str, done: int, count: int) -> None: ...


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def test_without_delete_nothing_changes_and_removable_artifacts_are_listed(work: Workplace) -> None:
    first = work.train(1)
    work.train(2)
    before, store = work.directories(), Path(work.settings.metadata).read_bytes()  # type: ignore[arg-type]
    rules = KeepRules(last=1)
    (found,) = preview(work.settings.open_store(), rules, None, quiet)
    assert {r.artifact_id for r in found.removals} == {a.id for a in first.values()}
    listed = work.gc("--keep-last", "1")
    assert first["Model"].uri in listed and "would remove 4 directories" in listed
    assert "not among the newest 1 of Train.model" in listed
    (asjson,) = json.loads(work.gc("--keep-last", "1", "--json"))
    assert len(asjson["removals"]) == 4 and all(r["size"] > 0 for r in asjson["removals"])
    assert work.directories() == before
    assert Path(work.settings.metadata).read_bytes() == store  # type: ignore[arg-type]
    assert {work.state(artifact) for artifact in first.values()} == {LIVE}


def test_artifacts_that_no_rule_keeps_are_deleted_and_the_newest_are_still_cached_and_found(
    work: Workplace,
) -> None:
    first, second = work.train(1), work.train(2)
    said = work.gc("--keep-last", "1", "--delete")
    assert "removed 4 directories" in said
    assert {work.state(artifact) for artifact in first.values()} == {GONE}
    assert {work.state(artifact) for artifact in second.values()} == {LIVE}
    again = work.run(number=2)
    assert {node.state for node in again.nodes} == {NodeState.CACHED}
    (latest,) = work.run("looking").nodes
    assert latest.outputs["model"] == (second["Model"].id,)
    assert work.gc("--keep-last", "1", "--delete").count("removed 0 directories") == 1


def test_removed_artifacts_are_still_listed_and_shown_as_deleted(work: Workplace) -> None:
    first, second = work.train(1), work.train(2)
    work.collect(last=1)
    command = ("-c", "from prodml.cli.main import main; main()")
    newest, oldest = (run.run_id for run in work.reader.runs(2))
    assert f"(deleted) {first['Model'].uri}" in work.python(*command, "show", oldest)
    assert "deleted" not in work.python(*command, "show", newest)
    listed = json.loads(work.python(*command, "artifacts", "--type", "Model", "--json"))
    states = {model["id"]: model["state"] for model in listed}
    assert states == {first["Model"].id: "DELETED", second["Model"].id: "LIVE"}
    assert "Train" in work.python(*command, "lineage", str(first["Model"].id))


def test_a_later_cache_miss_names_the_collection_that_removed_the_outputs(work: Workplace) -> None:
    work.train(1)
    work.train(2)
    work.collect(last=1)
    ingest = next(node for node in work.run(number=1).nodes if node.node_id == "Ingest")
    assert ingest.state is NodeState.COMPLETE
    assert "deleted: prodml gc: not among the newest 1 of Ingest.examples" in ingest.message


def test_blessed_models_are_kept_with_their_blessing_and_evaluation(work: Workplace) -> None:
    blessed, other = work.train(1), work.train(2, good=False)
    work.train(3)
    work.collect(blessed=True)
    states = {name: work.state(artifact) for name, artifact in blessed.items()}
    assert states == {
        "Examples": GONE,
        "Model": LIVE,
        "ModelBlessing": LIVE,
        "ModelEvaluation": LIVE,
    }
    assert {work.state(artifact) for artifact in other.values()} == {GONE}


def test_served_models_stay_and_pushed_models_stay_with_keep_pushed(work: Workplace) -> None:
    serving = str(work.root / "serving")
    served, withdrawn = work.train(1, serving=serving), work.train(2, serving=serving)
    work.train(3, serving=serving)
    shutil.rmtree(withdrawn["PushedModel"].custom_properties["pushed_destination"])  # type: ignore[arg-type]
    work.collect(last=1, pushed=True)
    assert work.state(withdrawn["Model"]) == work.state(withdrawn["PushedModel"]) == LIVE
    work.collect(last=1)
    assert work.state(served["Model"]) == work.state(served["PushedModel"]) == LIVE
    assert work.state(withdrawn["Model"]) == work.state(withdrawn["PushedModel"]) == GONE
    assert len(os.listdir(serving)) == 2


def test_keep_since_keeps_later_artifacts(work: Workplace) -> None:
    old = work.train(1)
    new, newest = work.train(2), work.train(3)
    work.collect(since=min(artifact.created for artifact in new.values()))
    assert {work.state(artifact) for artifact in old.values()} == {GONE}
    assert {work.state(a) for a in (*new.values(), *newest.values())} == {LIVE}


def test_a_failed_run_can_be_resumed_after_a_collection(work: Workplace) -> None:
    with pytest.raises(RunFailedError):
        work.run(number=1, fails=True)
    work.train(2)
    work.collect(last=1)
    (failed,) = (r for r in work.reader.runs(9) if r.state is RunState.FAILED)
    executions = work.reader.executions_of_run(failed.run_id)
    links = work.reader.links_of_executions(execution.id for execution in executions)
    records = work.reader.artifacts(link.artifact_id for link in links)
    assert {r.type_name for r in records} == {"Examples", "Model"}
    assert {work.state(record) for record in records} == {LIVE}


def test_imported_artifacts_and_directories_around_them_are_never_removed(work: Workplace) -> None:
    first = work.train(1)
    part = Path(first["Model"].uri)
    outside = work.root / "outside"
    outside.mkdir()
    (outside / "text").write_text("a model")
    work.run("comparing", uri=str(outside))
    work.run("comparing", uri=str(part))
    work.train(2)
    work.train(3)
    work.collect(last=1)
    assert outside.is_dir() and work.state(first["Model"]) == LIVE
    assert work.state(first["Examples"]) == GONE


@pytest.mark.parametrize("moment", ["rename", "rmtree"])
def test_the_next_collection_removes_what_a_killed_one_left(work: Workplace, moment: str) -> None:
    first, second = work.train(1), work.train(2)
    work.python("-c", KILLED, moment, "gc", "--keep-last", "1", "--delete", code=-9)
    # Whatever was reached: no artifact is live whose directory is not whole.
    for artifact in first.values():
        state, is_there = work.state(artifact)
        assert state == "DELETED" or is_there
    assert "DELETED" in {work.state(artifact)[0] for artifact in first.values()}
    work.gc("--keep-last", "1", "--delete")
    assert {work.state(artifact) for artifact in first.values()} == {GONE}
    assert {work.state(artifact) for artifact in second.values()} == {LIVE}
    assert not [
        name
        for name in work.directories()
        if "/." in name.removeprefix(".prodml") and not name.endswith(".json")
    ]


def test_leftovers_of_dead_runs_are_removed_but_not_files_that_may_still_be_recorded(
    work: Workplace,
) -> None:
    made = work.train(1)
    base = Path(made["Model"].uri).parent
    ids = work.failed_executions("Train", 5)
    staging = base.parent / f".staging-{ids[0]}"
    dotted, *sealed, users = (base / n for n in (f".deleted-{ids[1]}", *map(str, ids[2:]), "780"))
    for directory in (staging, dotted, *sealed, users):
        directory.mkdir()
        (directory / "text").write_text("half")
    for directory, id in zip(sealed, ids[2:], strict=True):
        (execution,) = work.reader.executions([id])
        seal(str(directory), execution.name)
    old, young, other = sealed
    seal(str(other), "of:another:store")
    for directory in (old, other, users):
        os.utime(directory, (0, 0))
    (base / "notes").mkdir()
    work.collect(last=1)
    left = [each.exists() for each in (staging, dotted, old, young, other, users, base / "notes")]
    assert left == [False, False, False, True, True, True, True]


def test_a_symbolic_link_that_leads_elsewhere_is_not_followed(work: Workplace) -> None:
    first = work.train(1)
    work.train(2)
    elsewhere = work.root / "elsewhere"
    node = Path(first["Model"].uri).parents[1]
    node.rename(elsewhere)
    node.symlink_to(elsewhere)
    work.collect(last=1)
    assert work.state(first["Model"]) == LIVE
    assert work.state(first["Examples"]) == GONE


def test_artifacts_stay_if_the_pipeline_root_has_a_second_path(work: Workplace) -> None:
    made = work.train(1)
    (work.root / "link").symlink_to(work.artifacts)
    work.settings = dataclasses.replace(work.settings, pipeline_root=str(work.root / "link"))
    also = work.train(2)
    for artifact in (*made.values(), *also.values()):
        os.utime(artifact.uri, (0, 0))
    (found,) = work.collect(last=9)
    assert found.removals == []
    assert {work.state(artifact) for artifact in (*made.values(), *also.values())} == {LIVE}


def test_artifacts_that_were_imported_by_a_second_path_stay(work: Workplace) -> None:
    first = work.train(1)
    (work.root / "link").symlink_to(work.artifacts)
    work.run("comparing", uri=first["Model"].uri.replace(str(work.artifacts), f"{work.root}/link"))
    work.train(2)
    work.collect(last=1)
    assert work.state(first["Model"]) == LIVE
    assert work.state(first["Examples"]) == GONE


@pytest.mark.parametrize("is_empty", [False, True])
def test_artifacts_of_an_unmounted_root_are_not_removed(work: Workplace, is_empty: bool) -> None:
    made = [work.train(number) for number in (1, 2)]
    root, elsewhere = work.artifacts / "training", work.root / "elsewhere"
    root.rename(elsewhere)
    if is_empty:
        root.mkdir()
    (found,) = work.collect(last=1)
    assert found.removals == []
    shutil.rmtree(root, ignore_errors=True)
    elsewhere.rename(root)
    assert {work.state(artifact) for each in made for artifact in each.values()} == {LIVE}
    work.collect(last=1)
    assert {work.state(artifact) for artifact in made[0].values()} == {GONE}
    assert {work.state(artifact) for artifact in made[1].values()} == {LIVE}


def test_artifacts_imported_or_set_as_baseline_during_a_collection_stay(work: Workplace) -> None:
    first, second = work.train(1), work.train(2)
    work.train(3)
    asked: list[str] = []

    def ask_for_them(what: str, done: int, count: int) -> None:
        if "measured" in what and not asked:
            asked.append(what)
            work.run("comparing", uri=first["Model"].uri)
            set_baseline(work.settings.open_store(), "training", second["Model"].id, "me", "why")

    list(collect(work.settings.open_store, KeepRules(last=1), "training", ask_for_them))
    assert asked
    assert work.state(first["Model"]) == work.state(second["Model"]) == LIVE
    assert work.state(first["Examples"]) == work.state(second["Examples"]) == GONE


def test_a_pipeline_in_use_is_skipped_and_the_others_are_collected(work: Workplace) -> None:
    first = work.train(1)
    work.train(2)
    outside = work.root / "outside"
    outside.mkdir()
    work.run("comparing", uri=str(outside))
    with leases.hold(work.settings.open_store, "training", "run-7"):
        found = {each.pipeline: each for each in work.collect(last=1)}
        assert "pipeline training is in use: run-7" in found["training"].busy
        assert not found["comparing"].busy
        said = work.gc("--keep-last", "1", "--delete")
    assert "skipped: pipeline training is in use" in said
    assert work.state(first["Model"]) == LIVE


def test_an_active_collection_is_not_shown_as_a_run(work: Workplace) -> None:
    work.train(1)
    store = work.settings.open_store()
    with leases.hold(work.settings.open_store, "training", "gc-1") as lease:
        assert fail_dead_runs(store) == []
        with pytest.raises(BusyError, match="gc-1"):
            work.run(number=2)
        assert LeaseTable(store).newest("training") == lease
    assert {run.state for run in work.reader.runs(9)} == {RunState.COMPLETE}
    work.train(2)


def test_a_dead_run_is_first_recorded_as_failed_and_stays_complete(work: Workplace) -> None:
    made = work.train(1)
    store = Store(work.settings.metadata)
    writer = LineageWriter(store)
    RunWriter(store).begin_run("training", "dead", "{}", 0, "", str(work.artifacts / "training"))
    execution = writer.begin_execution(Attempt("training", "dead", "Train", "Train"), {}, {})
    staging = Path(made["Model"].uri).parents[1] / f".staging-{execution}"
    staging.mkdir()
    work.collect(last=1)
    assert work.reader.run("dead").state is RunState.FAILED
    assert not staging.exists()


def test_a_collection_without_rules_is_rejected(work: Workplace) -> None:
    work.train(1)
    assert "prodml gc --keep-last 3" in work.gc("--delete", code=2)
    assert "write 30d" in work.gc("--keep-since", "yesterday", code=2)
    assert "there is no pipeline 'x'" in work.gc("--keep-last", "1", "--pipeline", "x", code=2)
    assert "0 directories" in work.gc("--keep-since", "30d")
    assert "0 directories" in work.gc("--keep-since", "2026-01-01")
