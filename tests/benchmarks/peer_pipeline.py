"""The flights and the taxi pipeline in TFX: the same data, module file, steps and thresholds.

Runs in the peer's own environment (see setup_peer.sh), never in prodml's. Prints one JSON object
as its last line: the seconds of each node as ML Metadata recorded them, and what was pushed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import tensorflow_model_analysis as tfma
from ml_metadata.proto import metadata_store_pb2
from tfx import v1 as tfx
from tfx.orchestration import metadata


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", required=True, choices=["flights", "taxi"])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--module-file", required=True)
    parser.add_argument("--work-dir", required=True, type=Path)
    parser.add_argument("--train-steps", required=True, type=int)
    parser.add_argument("--min-auc", required=True, type=float)
    arguments = parser.parse_args()
    build = {"flights": flights, "taxi": taxi}[arguments.pipeline]
    pipeline = build(
        arguments.data_root,
        arguments.module_file,
        arguments.work_dir,
        train_steps=arguments.train_steps,
        min_auc=arguments.min_auc,
    )
    tfx.orchestration.LocalDagRunner().run(pipeline)
    print(json.dumps(report(arguments.work_dir)))


def flights(
    data_root: str, module_file: str, work_dir: Path, *, train_steps: int, min_auc: float
) -> tfx.dsl.Pipeline:
    spans = tfx.proto.Input(
        splits=[tfx.proto.Input.Split(name="months", pattern="span-{SPAN:2}/*.csv")]
    )
    return pipeline_of(
        "flights",
        tfx.components.CsvExampleGen(input_base=data_root, input_config=spans),
        module_file,
        work_dir,
        train_args=tfx.proto.TrainArgs(num_steps=train_steps),
        eval_args=tfx.proto.EvalArgs(),
        eval_config=eval_config(min_auc),
    )


def taxi(
    data_root: str, module_file: str, work_dir: Path, *, train_steps: int, min_auc: float
) -> tfx.dsl.Pipeline:
    return pipeline_of(
        "taxi",
        tfx.components.CsvExampleGen(input_base=data_root),
        module_file,
        work_dir,
        train_args=tfx.proto.TrainArgs(num_steps=train_steps),
        eval_args=tfx.proto.EvalArgs(num_steps=max(1, train_steps // 2)),
        eval_config=taxi_eval_config(min_auc),
    )


def pipeline_of(
    name: str,
    example_gen: tfx.components.CsvExampleGen,
    module_file: str,
    work_dir: Path,
    *,
    train_args: tfx.proto.TrainArgs,
    eval_args: tfx.proto.EvalArgs,
    eval_config: tfma.EvalConfig,
) -> tfx.dsl.Pipeline:
    examples = example_gen.outputs["examples"]
    statistics_gen = tfx.components.StatisticsGen(examples=examples)
    schema_gen = tfx.components.SchemaGen(
        statistics=statistics_gen.outputs["statistics"], infer_feature_shape=True
    )
    schema = schema_gen.outputs["schema"]
    example_validator = tfx.components.ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema
    )
    transform = tfx.components.Transform(examples=examples, schema=schema, module_file=module_file)
    trainer = tfx.components.Trainer(
        module_file=module_file,
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        train_args=train_args,
        eval_args=eval_args,
    )
    baseline = tfx.dsl.Resolver(
        strategy_class=tfx.dsl.experimental.LatestBlessedModelStrategy,
        model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
        model_blessing=tfx.dsl.Channel(type=tfx.types.standard_artifacts.ModelBlessing),
    ).with_id("latest_blessed_model")
    evaluator = tfx.components.Evaluator(
        examples=examples,
        model=trainer.outputs["model"],
        baseline_model=baseline.outputs["model"],
        eval_config=eval_config,
    )
    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(
                base_directory=str(work_dir / "serving")
            )
        ),
    )
    return tfx.dsl.Pipeline(
        pipeline_name=name,
        pipeline_root=str(work_dir / "root"),
        metadata_connection_config=store_config(work_dir),
        components=[
            example_gen,
            statistics_gen,
            schema_gen,
            example_validator,
            transform,
            trainer,
            baseline,
            evaluator,
            pusher,
        ],
        enable_cache=True,
        # The Beam runner in this process: what `DirectRunner` starts first is fetched from the
        # network.
        beam_pipeline_args=["--runner=FnApiRunner", "--direct_running_mode=in_memory"],
    )


def eval_config(min_auc: float) -> tfma.EvalConfig:
    """The same slices and thresholds as pipelines/flights.py."""
    overall, by_origin = tfma.SlicingSpec(), tfma.SlicingSpec(feature_keys=["origin"])
    auc = tfma.MetricConfig(
        class_name="AUC",
        per_slice_thresholds=[
            tfma.PerSliceMetricThreshold(
                slicing_specs=[overall],
                threshold=tfma.MetricThreshold(
                    value_threshold=tfma.GenericValueThreshold(lower_bound={"value": min_auc}),
                    change_threshold=tfma.GenericChangeThreshold(
                        direction=tfma.MetricDirection.HIGHER_IS_BETTER,
                        absolute={"value": -0.01},
                    ),
                ),
            ),
            tfma.PerSliceMetricThreshold(
                slicing_specs=[by_origin],
                threshold=tfma.MetricThreshold(
                    value_threshold=tfma.GenericValueThreshold(
                        lower_bound={"value": min_auc - 0.05}
                    )
                ),
            ),
        ],
    )
    return tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(signature_name="serving_default", label_key="is_late")],
        slicing_specs=[overall, by_origin, tfma.SlicingSpec(feature_keys=["carrier"])],
        metrics_specs=[
            tfma.MetricsSpec(metrics=[tfma.MetricConfig(class_name="ExampleCount"), auc])
        ],
    )


def taxi_eval_config(min_auc: float) -> tfma.EvalConfig:
    """The same slices and thresholds as own_taxi_pipeline.py."""
    auc = tfma.MetricConfig(
        class_name="AUC",
        per_slice_thresholds=[
            tfma.PerSliceMetricThreshold(
                slicing_specs=[tfma.SlicingSpec()],
                threshold=tfma.MetricThreshold(
                    value_threshold=tfma.GenericValueThreshold(lower_bound={"value": min_auc}),
                    change_threshold=tfma.GenericChangeThreshold(
                        direction=tfma.MetricDirection.HIGHER_IS_BETTER, absolute={"value": -0.01}
                    ),
                ),
            )
        ],
    )
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(
                signature_name="serving_default",
                label_key="tips_xf",
                preprocessing_function_names=["transform_features"],
            )
        ],
        slicing_specs=[tfma.SlicingSpec(), tfma.SlicingSpec(feature_keys=["trip_start_hour"])],
        metrics_specs=[
            tfma.MetricsSpec(metrics=[tfma.MetricConfig(class_name="ExampleCount"), auc])
        ],
    )


def report(work_dir: Path) -> dict[str, object]:
    """Seconds and state of each node of the latest run, and the versions that were pushed."""
    with metadata.Metadata(store_config(work_dir)) as handle:
        store = handle.store
        run = max(store.get_contexts_by_type("pipeline_run"), key=lambda context: context.id)
        nodes = {}
        for execution in store.get_executions_by_context(run.id):
            contexts = store.get_contexts_by_execution(execution.id)
            (name,) = [c.name for c in contexts if c.type == "node"]
            took = execution.last_update_time_since_epoch - execution.create_time_since_epoch
            nodes[name.rpartition(".")[2]] = {
                "seconds": took / 1000,
                "state": metadata_store_pb2.Execution.State.Name(execution.last_known_state),
            }
    serving = work_dir / "serving"
    pushed = sorted(path.name for path in serving.iterdir()) if serving.is_dir() else []
    return {"nodes": nodes, "pushed": pushed}


def store_config(work_dir: Path) -> metadata_store_pb2.ConnectionConfig:
    return metadata.sqlite_metadata_connection_config(str(work_dir / "metadata.db"))


if __name__ == "__main__":
    main()
