"""For pipelines of all shapes, a run does what its plan says, and no guard is bypassed."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import guarded_nodes

from prodml import Cond, pipeline
from prodml.compiler.compile import compile_pipeline
from prodml.compiler.spec import PipelineSpec
from prodml.dsl.component import Component
from prodml.errors import RunFailedError
from prodml.metadata.reading import LineageReader
from prodml.orchestration.resolve.plan import Action, Plan, make_plan
from prodml.orchestration.results import NodeResult, NodeState, RunResult
from prodml.orchestration.run import run_pipeline
from prodml.orchestration.settings import RetryPolicy, RunSettings

ALLOWED = {
    Action.CACHED: {NodeState.CACHED},
    Action.RUN: {NodeState.COMPLETE, NodeState.FAILED},
    Action.SKIP: {NodeState.SKIPPED},
    Action.FAIL: {NodeState.FAILED},
    Action.UNDECIDED: set(NodeState),
}
OF_EXAMPLES = ["Derive", "Derive", "Derive", "Describe", "Describe", "Check", "Push"]


@dataclass
class Node:
    """A node to be; others are named by their place in the list."""

    kind: str
    source: int | None = None
    other: int | None = None
    condition: int | None = None
    after: int | None = None
    is_guarded: bool = True
    text: str = "x"
    good: int = 1
    fails: bool = False


def random_nodes(rng: random.Random) -> list[Node]:
    nodes: list[Node] = []
    for _ in range(rng.randint(3, 9)):
        examples = [i for i, node in enumerate(nodes) if node.kind in ("Source", "Derive")]
        described = [i for i, node in enumerate(nodes) if node.kind == "Describe"]
        kinds = [*OF_EXAMPLES, *["CheckDescription"] * (3 if described else 0)]
        node = Node(rng.choice(["Source", *kinds] if examples else ["Source"]))
        if node.kind == "CheckDescription":
            node.source = rng.choice(described)
        elif node.kind != "Source":
            node.source = rng.choice(examples)
        if node.kind == "Derive" and rng.random() < 0.5:
            node.other = rng.choice(examples)
        if examples and rng.random() < 0.25:
            node.condition = rng.choice(examples)
        if nodes and rng.random() < 0.1:
            node.after = rng.randrange(len(nodes))
        node.is_guarded = rng.random() > 0.15
        nodes.append(node)
    return nodes


def change(nodes: list[Node], rng: random.Random) -> None:
    for node in nodes:
        node.fails = rng.random() < 0.12
        if rng.random() < 0.12:
            node.text = rng.choice("xyz")
        if rng.random() < 0.1:
            node.good = rng.choice([0, 1])


def compiled(nodes: list[Node]) -> PipelineSpec:
    @pipeline(name="shape")
    def shape() -> None:
        made: list[Component] = []
        for i, node in enumerate(nodes):
            if node.condition is None:
                made.append(component(node, i, made))
                continue
            channel = made[node.condition].outputs["made"]
            with Cond(channel.future()[0].custom_property("good") == 1):
                made.append(component(node, i, made))

    return compile_pipeline(shape.build({}))


def component(node: Node, number: int, made: list[Component]) -> Component:
    make: Callable[..., Component] = getattr(guarded_nodes, node.kind)
    arguments: dict[str, object] = {"text": node.text, "fails": node.fails}
    if node.kind == "Source":
        arguments["good"] = node.good
    for name, place in (("source", node.source), ("other", node.other)):
        if place is not None:
            arguments[name] = made[place].outputs["made"]
    result = make(**arguments).with_id(f"{node.kind}{number}")
    if not node.is_guarded:
        result.without_guards()
    if node.after is not None:
        result.add_upstream_node(made[node.after])
    return result


class Silent:
    def node_started(self, node_id: str, reason: str) -> None: ...

    def node_progress(self, node_id: str, done: int, total: int | None, unit: str) -> None: ...

    def node_retried(self, failed: NodeResult, wait_seconds: float) -> None: ...

    def node_finished(self, result: NodeResult) -> None: ...


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    places = (str(tmp_path / name) for name in ("metadata.db", "artifacts", "logs"))
    return RunSettings(*places, retry=RetryPolicy(max_attempts=1))


def planned(spec: PipelineSpec, settings: RunSettings) -> Plan:
    return make_plan(spec, LineageReader(settings.open_store()), use_cache=True)


def run(spec: PipelineSpec, settings: RunSettings, resumes: bool = False) -> RunResult:
    resumed = LineageReader(settings.open_store()).runs(1)[0] if resumes else None
    try:
        return run_pipeline(spec, settings, Silent(), resumed)
    except RunFailedError as error:
        assert isinstance(error.result, RunResult)
        return error.result


def check_plan(plan: Plan, result: RunResult) -> None:
    ended = {node.node_id: node for node in result.nodes}
    for node in plan.nodes:
        assert ended[node.node_id].state in ALLOWED[node.action], (node, ended[node.node_id])


def check_guards(spec: PipelineSpec, result: RunResult) -> None:
    ended = {node.node_id: node for node in result.nodes}
    for node in spec.nodes:
        for guard in (ended[each.node] for each in node.guards):
            if guard.state is NodeState.FAILED or guard.blocked_by:
                assert ended[node.id].state is NodeState.SKIPPED, (node.id, guard)
        if any(ended[id].state is NodeState.FAILED for id in node.rest_of_run):
            assert ended[node.id].state is NodeState.SKIPPED, node.id


@pytest.mark.parametrize("seed", range(12))
def test_a_run_does_what_its_plan_says(seed: int, settings: RunSettings) -> None:
    rng = random.Random(seed)
    nodes = random_nodes(rng)
    for _ in range(4):
        change(nodes, rng)
        spec = compiled(nodes)
        plan = planned(spec, settings)
        result = run(spec, settings)
        check_plan(plan, result)
        check_guards(spec, result)
        if result.failures:
            for node in nodes:
                node.fails = False
            spec = compiled(nodes)
            result = run(spec, settings, resumes=True)
            assert not result.failures
        again = planned(spec, settings)
        assert {node.action for node in again.nodes} <= {Action.CACHED, Action.SKIP}
        check_plan(again, run(spec, settings))
