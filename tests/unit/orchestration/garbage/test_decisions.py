"""Decisions over random lineages: protected artifacts are never removed."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from prodml.artifacts import PropertyValue
from prodml.metadata.records import (
    ArtifactRecord,
    ExecutionRecord,
    Link,
    RunRecord,
    RunState,
    State,
)
from prodml.orchestration.garbage.decisions import (
    Decision,
    Fate,
    KeepRules,
    Lineage,
    decide,
    open_runs,
)
from prodml.orchestration.garbage.shared_places import place_of

ROOT = "/work/artifacts/flights"
TYPES = {
    "examples": "Examples",
    "model": "Model",
    "blessing": "ModelBlessing",
    "evaluation": "ModelEvaluation",
    "pushed_model": "PushedModel",
}


@dataclass
class World:
    """A lineage that is built up run by run; ids of executions begin at 1, of artifacts at 1001."""

    artifacts: list[ArtifactRecord] = field(default_factory=list)
    executions: dict[int, ExecutionRecord] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    claimed: set[str] = field(default_factory=set)
    pinned: int | None = None
    unreachable: set[str] = field(default_factory=set)

    def execute(
        self, run: str, node: str, pipeline: str = "flights", state: str = "COMPLETE"
    ) -> int:
        id = len(self.executions) + 1
        properties: dict[str, PropertyValue] = {
            "run_id": run,
            "node_id": node,
            "pipeline_name": pipeline,
        }
        self.executions[id] = ExecutionRecord(
            id, node, f"{run}:{node}", State(state), id, id, properties
        )
        return id

    def make(self, execution: int, key: str, **custom: Any) -> int:
        node = self.executions[execution].node_id
        uri = custom.pop("uri", f"{ROOT}/{node}/{key}/{execution}")
        id = 1001 + len(self.artifacts)
        self.artifacts.append(
            ArtifactRecord(
                id,
                TYPES.get(key, key),
                f"a{id}",
                uri,
                "LIVE",
                execution,
                {},
                {"output_key": key, **custom},
            )
        )
        self.links.append(Link(execution, id, key, 0, True))
        return id

    def use(self, execution: int, artifact: int) -> None:
        self.links.append(Link(execution, artifact, "input", 0, False))

    def find(self, execution: int, artifact: int) -> None:
        self.links.append(Link(execution, artifact, "found", 0, True))

    def retrain(self, run: str, blessed: bool = False, pushed: bool = False) -> dict[str, int]:
        """A run of the flights pipeline: examples, model, evaluation with blessing, push."""
        made = {"examples": self.make(self.execute(run, "ExampleGen"), "examples")}
        trainer = self.execute(run, "Trainer")
        self.use(trainer, made["examples"])
        made["model"] = self.make(trainer, "model")
        evaluator = self.execute(run, "Evaluator")
        made["evaluation"] = self.make(evaluator, "evaluation")
        made["blessing"] = self.make(
            evaluator, "blessing", blessed=int(blessed), current_model_id=made["model"]
        )
        if pushed:
            made["pushed_model"] = self.make(
                self.execute(run, "Pusher"),
                "pushed_model",
                pushed=1,
                pushed_destination=f"/serving/{run}",
                pushed_model_id=made["model"],
            )
        return made

    def decide(self, **rules: Any) -> dict[int, Decision]:
        lineage = Lineage(
            "flights",
            frozenset({ROOT}),
            self.artifacts,
            self.executions,
            self.links,
            frozenset(self.open),
            self.pinned,
            frozenset(self.claimed),
            lambda uri: uri not in self.missing,
            frozenset(self.unreachable),
        )
        return {d.artifact.id: d for d in decide(lineage, KeepRules(**rules))}

    def removed(self, **rules: Any) -> set[int]:
        return {id for id, d in self.decide(**rules).items() if d.fate is Fate.REMOVED}


@st.composite
def worlds(draw: st.DrawFn) -> World:
    world = World()
    for number in range(draw(st.integers(1, 8))):
        run = f"run-{number}"
        made = world.retrain(run, draw(st.booleans()), draw(st.booleans()))
        if draw(st.integers(0, 3)) == 0:
            world.open.add(run)
        for key, id in made.items():
            fate = draw(st.sampled_from(["", "", "", "", "gone", "imported", "foreign", "odd"]))
            artifact = world.artifacts[id - 1001]
            if fate == "gone":
                world.missing.add(artifact.uri)
            elif fate == "imported":
                world.claimed.add(f"{artifact.uri}/Split-train")
            elif fate == "foreign":
                world.use(world.execute("theirs", "Importer", "other"), id)
            elif fate == "odd":
                world.make(world.execute(run, "Odd"), key, uri=draw(st.sampled_from(ODD_PLACES)))
        if draw(st.booleans()):
            world.missing.add(f"/serving/{run}")
        if draw(st.integers(0, 5)) == 0:
            world.pinned = made["model"]
    return world


ODD_PLACES = [
    "/etc",
    "/models/1",
    ROOT,
    f"{ROOT}/Odd",
    f"{ROOT}/Odd/../../1",
    f"{ROOT}/Odd/model/x",
]

rules = st.fixed_dictionaries(
    {
        "last": st.none() | st.integers(1, 4),
        "blessed": st.booleans(),
        "pushed": st.booleans(),
        "since": st.none() | st.integers(0, 60),
    }
)


@given(worlds(), rules)
def test_protected_artifacts_are_never_removed(world: World, rules: dict[str, Any]) -> None:
    removed = world.removed(**rules)
    by_id = {artifact.id: artifact for artifact in world.artifacts}
    used = {
        link.artifact_id
        for link in world.links
        if world.executions[link.execution_id].properties["run_id"] in {*world.open, "theirs"}
    }
    assert not removed & used
    for artifact in (by_id[id] for id in removed):
        place = place_of(artifact.uri, [ROOT])
        assert place is not None and world.executions[place.execution_id].node_id == place.node
        assert not any(claimed.startswith(artifact.uri + "/") for claimed in world.claimed)
    for pushed in world.artifacts:
        destination = pushed.custom_properties.get("pushed_destination")
        if destination and destination not in world.missing:
            assert not removed & {pushed.id, pushed.custom_properties["pushed_model_id"]}
    assert world.pinned not in removed


@given(worlds(), rules)
def test_a_resolver_finds_the_same_artifacts_after_a_collection(
    world: World, rules: dict[str, Any]
) -> None:
    removed = world.removed(**rules)

    def newest(artifacts: list[ArtifactRecord], type_name: str) -> list[int]:
        existing = [a for a in artifacts if a.type_name == type_name and a.uri not in world.missing]
        return sorted((a.id for a in existing), reverse=True)

    def blessed(artifacts: list[ArtifactRecord]) -> tuple[int, int] | None:
        by_id = {a.id: a for a in artifacts}
        models = newest(artifacts, "Model")
        for id in newest(artifacts, "ModelBlessing"):
            values = by_id[id].custom_properties
            if values.get("blessed") == 1 and values["current_model_id"] in models:
                return id, int(values["current_model_id"])
        return None

    left = [a for a in world.artifacts if a.id not in removed]
    for type_name in TYPES.values():
        assert newest(left, type_name)[:1] == newest(world.artifacts, type_name)[:1]
    assert blessed(left) == blessed(world.artifacts)


@given(worlds(), rules)
def test_one_more_rule_never_removes_more(world: World, rules: dict[str, Any]) -> None:
    assert world.removed(**rules) <= world.removed(last=rules["last"])
    assert world.removed(**rules) <= world.removed(since=rules["since"])


@given(worlds(), rules)
def test_an_unreachable_directory_is_no_reason_to_remove_an_artifact(
    world: World, rules: dict[str, Any]
) -> None:
    world.missing = {artifact.uri for artifact in world.artifacts}
    unreachable = world.removed(**rules)
    world.missing = set()
    assert unreachable <= world.removed(**rules)


def test_the_newest_of_each_output_are_kept() -> None:
    world = World()
    made = [world.retrain(f"run-{n}") for n in range(4)]
    assert world.removed(last=2) == {*made[0].values(), *made[1].values()}
    why = world.decide(last=2)[made[0]["model"]].reason
    assert why == "not among the newest 2 of Trainer.model"


def test_a_missing_directory_is_not_counted_among_the_newest() -> None:
    world = World()
    made = [world.retrain(f"run-{n}")["model"] for n in range(3)]
    world.missing.add(world.artifacts[made[2] - 1001].uri)
    assert made[1] not in world.removed(last=1)
    assert made[0] in world.removed(last=1)


def test_artifacts_below_an_unreachable_root_stay() -> None:
    world = World(unreachable={"/mnt/artifacts/flights"})
    made = [
        world.make(world.execute(f"run-{n}", "Trainer"), "model", uri=f"{root}/Trainer/model/{n}")
        for n, root in enumerate(["/mnt/artifacts/flights", ROOT, ROOT], 1)
    ]
    assert world.removed(last=1) == {made[1]}
    why = "its pipeline root /mnt/artifacts/flights is unreachable, or belongs to another store"
    assert world.decide(last=1)[made[0]].reason == why


def test_a_model_whose_serving_directory_is_unreachable_may_be_served() -> None:
    world = World(missing={"/serving/run-0"})
    pushed = world.retrain("run-0", pushed=True)
    world.retrain("run-1", pushed=True)
    served = {pushed["model"], pushed["pushed_model"]}
    assert world.removed(last=1) >= served
    world.missing |= {"/serving", "/serving/run-1"}
    assert not world.removed(last=1) & served


def test_a_blessed_model_is_kept_with_its_blessing_and_evaluation() -> None:
    world = World()
    blessed = world.retrain("run-0", blessed=True)
    other = world.retrain("run-1")
    world.retrain("run-2", blessed=True)
    removed = world.removed(blessed=True)
    assert removed == {blessed["examples"], *other.values()}


def test_a_pushed_model_is_kept_with_its_pushed_model() -> None:
    world = World()
    pushed = world.retrain("run-0", pushed=True)
    world.retrain("run-1", pushed=True)
    world.missing |= {"/serving/run-0", "/serving/run-1"}
    assert not world.removed(pushed=True) & {pushed["model"], pushed["pushed_model"]}
    assert world.removed(last=1) >= {pushed["model"], pushed["pushed_model"]}


def test_a_served_model_stays_even_if_no_rule_keeps_it() -> None:
    world = World()
    pushed = world.retrain("run-0", pushed=True)
    world.retrain("run-1", pushed=True)
    assert not world.removed(last=1) & {pushed["model"], pushed["pushed_model"]}


def test_keep_since_counts_from_the_latest_use_of_an_artifact() -> None:
    world = World()
    old = world.retrain("run-0")
    for number in range(1, 3):
        world.retrain(f"run-{number}")
    later = world.execute("run-3", "Trainer", state="CACHED")
    world.use(later, old["examples"])
    removed = world.removed(since=later)
    assert old["examples"] not in removed and old["model"] in removed


def test_as_many_artifacts_stay_as_a_resolver_returned_last() -> None:
    world = World()
    models = [world.retrain(f"run-{n}")["model"] for n in range(5)]
    resolver = world.execute("run-5", "newest_models")
    for model in models[2:]:
        world.find(resolver, model)
    removed = world.removed(since=10**6)
    assert not removed & set(models[2:]) and {*models[:2]} <= removed


def test_a_pinned_baseline_stays_with_its_blessing() -> None:
    world = World()
    made = [world.retrain(f"run-{n}") for n in range(3)]
    world.pinned = made[0]["model"]
    assert not world.removed(last=1) & {made[0]["model"], made[0]["blessing"]}


def test_active_runs_and_the_newest_run_that_did_not_succeed_are_open() -> None:
    states = ["FAILED", "COMPLETE", "CANCELED", "RUNNING", "FAILED", "COMPLETE"]
    runs = [
        RunRecord(n, f"run-{n}", "flights", RunState(state), n, 0, "{}", "")
        for n, state in enumerate(states)
    ]
    assert open_runs(runs) == {"run-3", "run-4"}
