"""The taxi pipeline as peer_pipeline.py has it: a module file of TFX's shape, on tf.keras."""

from prodml import Channel, pipeline
from prodml.artifacts import Model, ModelBlessing
from prodml.components import (
    CsvExampleGen,
    EvalArgs,
    EvalConfig,
    Evaluator,
    ExampleValidator,
    GenericChangeThreshold,
    GenericValueThreshold,
    LatestBlessedModelStrategy,
    MetricConfig,
    MetricDirection,
    MetricsSpec,
    MetricThreshold,
    ModelSpec,
    PerSliceMetricThreshold,
    PushDestination,
    Pusher,
    Resolver,
    SchemaGen,
    SlicingSpec,
    StatisticsGen,
    StatsOptions,
    TrainArgs,
    Trainer,
    Transform,
)


@pipeline(name="taxi")
def taxi(
    data_root: str,
    module_file: str,
    train_steps: int,
    min_auc: float,
    serving_dir: str,
    as_tfx: bool,
) -> None:
    """Ingests the trips, trains on them, evaluates and pushes.

    Args:
        as_tfx: counts exactly and writes TFRecord, as TFX does.
    """
    examples = CsvExampleGen(
        input_base=data_root,
        payload_format="FORMAT_TF_EXAMPLE" if as_tfx else "FORMAT_PARQUET",
    ).outputs["examples"]
    options = StatsOptions(use_sketch_based_topk_uniques=not as_tfx)
    statistics = StatisticsGen(examples=examples, stats_options=options).outputs["statistics"]
    schema = SchemaGen(statistics=statistics).outputs["schema"]
    ExampleValidator(statistics=statistics, schema=schema)
    transform = Transform(examples=examples, schema=schema, module_file=module_file)
    model = Trainer(
        module_file=module_file,
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        train_args=TrainArgs(num_steps=train_steps),
        eval_args=EvalArgs(num_steps=max(1, train_steps // 2)),
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
        eval_config=quality(min_auc),
    ).outputs["blessing"]
    Pusher(
        model=model,
        model_blessing=blessing,
        push_destination=PushDestination(
            filesystem=PushDestination.Filesystem(base_directory=serving_dir)
        ),
    )


def quality(min_auc: float) -> EvalConfig:
    """AUC overall, and shown by hour; the label is what `transform_features` makes of it."""
    auc = MetricConfig(
        class_name="AUC",
        per_slice_thresholds=[
            PerSliceMetricThreshold(
                slicing_specs=[SlicingSpec()],
                threshold=MetricThreshold(
                    value_threshold=GenericValueThreshold(lower_bound=min_auc),
                    change_threshold=GenericChangeThreshold(
                        direction=MetricDirection.HIGHER_IS_BETTER, absolute=-0.01
                    ),
                ),
            )
        ],
    )
    return EvalConfig(
        model_specs=[
            ModelSpec(
                signature_name="serving_default",
                label_key="tips_xf",
                preprocessing_function_names=["transform_features"],
            )
        ],
        slicing_specs=[SlicingSpec(), SlicingSpec(feature_keys=["trip_start_hour"])],
        metrics_specs=[MetricsSpec(metrics=[MetricConfig(class_name="ExampleCount"), auc])],
    )
