"""A pipeline of functions, with a push, that runs in about a second."""

import os

from prodml import Channel, Cond, Input, Output, component, pipeline
from prodml.artifacts import Model, ModelBlessing, Schema
from prodml.components import LatestBlessedModelStrategy, PushDestination, Pusher, Resolver


@component
def MakeSchema(schema: Output[Schema], notes: Output[Schema]):
    for artifact in (schema, notes):
        with open(os.path.join(artifact.uri, "schema.pbtxt"), "w") as file:
            file.write("feature {}")


@component
def Train(schema: Input[Schema], model: Output[Model]):
    os.makedirs(os.path.join(model.serving_model_dir, "variables"))
    for name in ("saved_model.pb", "variables/variables.index"):
        with open(os.path.join(model.serving_model_dir, name), "w") as file:
            file.write("a model" * 1000)


@component
def Judge(model: Input[Model], baseline: Input[Model] | None, blessing: Output[ModelBlessing]):
    blessing.custom_properties["blessed"] = 1
    blessing.custom_properties["current_model_id"] = model.id
    open(os.path.join(blessing.uri, "BLESSED"), "w").close()


@pipeline(name="small")
def small(serving_dir: str = "serving"):
    schema = MakeSchema().without_cache()
    model = Train(schema=schema.outputs["schema"]).outputs["model"]
    latest = Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=Channel(type=Model),
        model_blessing=Channel(type=ModelBlessing),
    )
    blessing = Judge(model=model, baseline=latest.outputs["model"]).outputs["blessing"]
    with Cond(blessing.future()[0].custom_property("blessed") == 1):
        Pusher(
            model=model,
            model_blessing=blessing,
            push_destination=PushDestination(
                filesystem=PushDestination.Filesystem(base_directory=serving_dir)
            ),
        )
