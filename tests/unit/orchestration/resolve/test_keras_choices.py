import dataclasses
from typing import Any

from prodml.compiler.spec import NodeKind, NodeSpec, ParameterSpec, PipelineSpec, WatchedSpec
from prodml.keras_choice import KerasName
from prodml.orchestration.resolve.keras_choices import KerasChoices, keras_choices

TRAINER = "prodml.components.trainer.component:Trainer"


def node(id: str, component: str = TRAINER, **parameters: Any) -> NodeSpec:
    return NodeSpec(
        id=id,
        kind=NodeKind.EXECUTOR,
        component=component,
        execution_type="Type",
        inputs=(),
        outputs=(),
        parameters=tuple(ParameterSpec(n, v) for n, v in parameters.items()),
        conditions=(),
        upstream=(),
        is_cached=True,
        location="pipeline.py:1",
    )


def choices(configured: KerasName, *nodes: NodeSpec) -> KerasChoices:
    return keras_choices(PipelineSpec("p", (), nodes, "pipeline.py:1", "", ()), configured)


def test_the_configuration_decides_for_a_trainer_that_does_not_say() -> None:
    made = choices("keras", node("Trainer", keras=None))
    assert (made.process, made.nodes) == ("keras", {"Trainer": "keras"})


def test_a_trainers_own_choice_wins_and_is_that_of_the_process() -> None:
    made = choices("tf_keras", node("Trainer", keras="keras"))
    assert (made.process, made.nodes) == ("keras", {"Trainer": "keras"})


def test_where_trainers_differ_the_process_gets_the_configured_choice() -> None:
    made = choices("tf_keras", node("old", keras=None), node("new", keras="keras"))
    assert (made.process, made.nodes) == ("tf_keras", {"old": "tf_keras", "new": "keras"})


def test_every_node_with_code_of_the_authors_gets_that_of_the_process() -> None:
    transform = dataclasses.replace(
        node("Transform", "prodml.components.transform.component:Transform"),
        parameters=(ParameterSpec("module_file", "taxi.py", (WatchedSpec("", "module"),)),),
    )
    own = node("Own", "pipeline.py:Own")
    ours = node("Pusher", "prodml.components.pusher.component:Pusher")
    made = choices("tf_keras", node("Trainer", keras="keras"), transform, own, ours)
    assert made.nodes == {"Trainer": "keras", "Transform": "keras", "Own": "keras"}


def test_a_parameter_that_only_has_the_name_is_no_choice() -> None:
    made = choices("tf_keras", node("Own", "pipeline.py:Own", keras=True))
    assert (made.process, made.nodes) == ("tf_keras", {"Own": "tf_keras"})
