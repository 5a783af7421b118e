"""Predicts whether a flight from New York will arrive more than 15 minutes late.

`examples/flights/prepare.py` writes the data: one directory per month, `span-01` and so on.
"""

from __future__ import annotations

from pathlib import Path

from prodml import Channel, pipeline
from prodml.artifacts import Model, ModelBlessing
from prodml.components import (
    CsvExampleGen,
    EvalConfig,
    Evaluator,
    ExampleValidator,
    GenericChangeThreshold,
    GenericValueThreshold,
    InfraValidator,
    Input,
    LatestBlessedModelStrategy,
    MetricConfig,
    MetricDirection,
    MetricsSpec,
    MetricThreshold,
    ModelSpec,
    PerSliceMetricThreshold,
    PushDestination,
    Pusher,
    RangeConfig,
    RequestSpec,
    Resolver,
    RollingRange,
    SchemaGen,
    SlicingSpec,
    StatisticsGen,
    TrainArgs,
    Trainer,
    Transform,
)

MODULE_FILE = str(Path(__file__).parents[1] / "examples" / "flights" / "flights_utils.py")


@pipeline(name="flights")
def flights(
    data_root: str,
    months: int = 12,
    train_steps: int = 2000,
    min_auc: float = 0.65,
    serving_dir: str = ".prodml/serving/flights",
) -> None:
    """Trains a model on the latest months, and pushes it if it is blessed.

    A model is blessed if it meets the thresholds, is no worse than the latest blessed model, and
    answers requests in a real server.

    Args:
        data_root: directory with span-01/*.csv and so on; after a new span, the model is retrained.
        months: number of latest spans to train on.
        train_steps: batches to train on.
        min_auc: minimum AUC on held-out flights.
        serving_dir: directory for blessed models, with one numbered directory per model.
    """
    example_gen = CsvExampleGen(
        input_base=data_root,
        input_config=Input(splits=[Input.Split(name="months", pattern="span-{SPAN:2}/*.csv")]),
        range_config=RangeConfig(rolling_range=RollingRange(num_spans=months)),
    )
    examples = example_gen.outputs["examples"]
    statistics_gen = StatisticsGen(examples=examples)
    statistics = statistics_gen.outputs["statistics"]
    schema_gen = SchemaGen(statistics=statistics)
    schema = schema_gen.outputs["schema"]
    ExampleValidator(statistics=statistics, schema=schema, fail_on="ERROR")
    transform = Transform(examples=examples, schema=schema, module_file=MODULE_FILE)
    trainer = Trainer(
        keras="keras",  # The module file imports Keras 3; also importing tf_keras costs seconds.
        module_file=MODULE_FILE,
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        train_args=TrainArgs(num_steps=train_steps),
    )
    baseline = Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=Channel(type=Model),
        model_blessing=Channel(type=ModelBlessing),
    ).with_id("latest_blessed_model")
    evaluator = Evaluator(
        examples=examples,
        model=trainer.outputs["model"],
        baseline_model=baseline.outputs["model"],
        eval_config=thresholds(min_auc),
    )
    infra_validator = InfraValidator(
        model=trainer.outputs["model"],
        examples=examples,
        request_spec=RequestSpec(num_examples=10, make_warmup=True),
    )
    Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=infra_validator.outputs["blessing"],
        push_destination=PushDestination(
            filesystem=PushDestination.Filesystem(base_directory=serving_dir)
        ),
    )


def thresholds(min_auc: float) -> EvalConfig:
    """Requires a minimum AUC, overall and by airport, and no loss against the baseline."""
    overall, by_origin = SlicingSpec(), SlicingSpec(feature_keys=["origin"])
    good_enough = GenericValueThreshold(lower_bound=min_auc)
    no_worse = GenericChangeThreshold(direction=MetricDirection.HIGHER_IS_BETTER, absolute=-0.01)
    auc = MetricConfig(
        class_name="AUC",
        per_slice_thresholds=[
            PerSliceMetricThreshold(
                slicing_specs=[overall],
                threshold=MetricThreshold(value_threshold=good_enough, change_threshold=no_worse),
            ),
            PerSliceMetricThreshold(
                slicing_specs=[by_origin],
                threshold=MetricThreshold(
                    value_threshold=GenericValueThreshold(lower_bound=min_auc - 0.05)
                ),
            ),
        ],
    )
    return EvalConfig(
        model_specs=[ModelSpec(signature_name="serving_default", label_key="is_late")],
        slicing_specs=[overall, by_origin, SlicingSpec(feature_keys=["carrier"])],
        metrics_specs=[MetricsSpec(metrics=[MetricConfig(class_name="ExampleCount"), auc])],
    )
