"""The flights pipeline as peer_pipeline.py has it: without InfraValidator.

TFX's own can only run where TensorFlow Serving's binary or image is.
"""

import runpy
from pathlib import Path

from prodml import Channel, pipeline
from prodml.artifacts import Model, ModelBlessing
from prodml.components import (
    CsvExampleGen,
    Evaluator,
    ExampleValidator,
    Input,
    LatestBlessedModelStrategy,
    PushDestination,
    Pusher,
    Resolver,
    SchemaGen,
    StatisticsGen,
    StatsOptions,
    TrainArgs,
    Trainer,
    Transform,
)

FLIGHTS = runpy.run_path(str(Path(__file__).parents[2] / "pipelines" / "flights.py"))


@pipeline(name="flights")
def flights(
    data_root: str,
    module_file: str,
    train_steps: int,
    min_auc: float,
    serving_dir: str,
    as_tfx: bool,
) -> None:
    """Ingests the latest span, trains on it, evaluates and pushes.

    Args:
        as_tfx: counts exactly and writes TFRecord, as TFX does.
    """
    examples = CsvExampleGen(
        input_base=data_root,
        input_config=Input(splits=[Input.Split(name="months", pattern="span-{SPAN:2}/*.csv")]),
        payload_format="FORMAT_TF_EXAMPLE" if as_tfx else "FORMAT_PARQUET",
    ).outputs["examples"]
    options = StatsOptions(use_sketch_based_topk_uniques=not as_tfx)
    statistics = StatisticsGen(examples=examples, stats_options=options).outputs["statistics"]
    schema = SchemaGen(statistics=statistics).outputs["schema"]
    ExampleValidator(statistics=statistics, schema=schema)
    transform = Transform(examples=examples, schema=schema, module_file=module_file)
    model = Trainer(
        keras="keras",  # The module file imports Keras 3; tf_keras beside it costs seconds.
        module_file=module_file,
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        train_args=TrainArgs(num_steps=train_steps),
    ).outputs["model"]
    baseline = Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=Channel(type=Model),
        model_blessing=Channel(type=ModelBlessing),
    ).with_id("latest_blessed_model")
    blessing = Evaluator(
        examples=examples,
        model=model,
        baseline_model=baseline.outputs["model"],
        eval_config=FLIGHTS["thresholds"](min_auc),
    ).outputs["blessing"]
    Pusher(
        model=model,
        model_blessing=blessing,
        push_destination=PushDestination(
            filesystem=PushDestination.Filesystem(base_directory=serving_dir)
        ),
    )
