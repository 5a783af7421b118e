"""A module file through a pipeline: trained, asked in a real model server with raw rows, pushed."""

from typing import Literal

from prodml import pipeline
from prodml.components import (
    EvalArgs,
    InfraValidator,
    ParquetExampleGen,
    PushDestination,
    Pusher,
    RequestSpec,
    SchemaGen,
    StatisticsGen,
    TrainArgs,
    Trainer,
    Transform,
)


@pipeline(name="module_file")
def module_file(
    data_root: str,
    module_file: str,
    has_transform: bool,
    keras: Literal["tf_keras", "keras"] | None = None,
) -> None:
    examples = ParquetExampleGen(input_base=data_root).outputs["examples"]
    given = {"examples": examples}
    if has_transform:
        statistics = StatisticsGen(examples=examples).outputs["statistics"]
        schema = SchemaGen(statistics=statistics).outputs["schema"]
        transform = Transform(examples=examples, schema=schema, module_file=module_file)
        given = {
            "examples": transform.outputs["transformed_examples"],
            "transform_graph": transform.outputs["transform_graph"],
        }
    model = Trainer(
        module_file=module_file,
        train_args=TrainArgs(num_steps=30),
        eval_args=EvalArgs(num_steps=3),
        keras=keras,
        **given,
    ).outputs["model"]
    blessing = InfraValidator(
        model=model, examples=examples, request_spec=RequestSpec(num_examples=5)
    ).outputs["blessing"]
    Pusher(
        model=model,
        infra_blessing=blessing,
        push_destination=PushDestination(
            filesystem=PushDestination.Filesystem(base_directory="serving")
        ),
    )
