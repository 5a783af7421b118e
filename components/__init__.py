"""Components, their configuration classes, and the API for user modules.

Importing this package loads declarations only. TensorFlow, Beam and the libraries built on them
are imported by the executor of each node that runs.
"""

from prodml.components.csv_example_gen.component import CsvExampleGen
from prodml.components.evaluator.component import Evaluator
from prodml.components.evaluator.eval_config import (
    AggregationOptions,
    BinarizationOptions,
    ConfidenceIntervalOptions,
    CrossSliceMetricThreshold,
    CrossSliceMetricThresholds,
    CrossSlicingSpec,
    EvalConfig,
    ExampleWeightOptions,
    GenericChangeThreshold,
    GenericValueThreshold,
    MetricConfig,
    MetricDirection,
    MetricsSpec,
    MetricThreshold,
    ModelSpec,
    Options,
    PaddingOptions,
    PerSliceMetricThreshold,
    PerSliceMetricThresholds,
    RepeatedInt32Value,
    RepeatedStringValue,
    SlicingSpec,
)
from prodml.components.example_gen.config import (
    Input,
    Output,
    RangeConfig,
    RollingRange,
    SplitConfig,
    StaticRange,
)
from prodml.components.example_validator.component import ExampleValidator
from prodml.components.import_example_gen.component import ImportExampleGen
from prodml.components.import_schema_gen.component import ImportSchemaGen
from prodml.components.importer.component import Importer
from prodml.components.infra_validator.component import (
    InfraValidator,
    LocalDockerConfig,
    RequestSpec,
    ServingSpec,
    TensorFlowServing,
    TensorFlowServingRequestSpec,
    ValidationSpec,
)
from prodml.components.parquet_example_gen.component import ParquetExampleGen
from prodml.components.pusher.component import PushDestination, Pusher
from prodml.components.resolver.component import Resolver
from prodml.components.resolver.strategies import (
    LatestArtifactStrategy,
    LatestBlessedModelStrategy,
    LatestValidatedStatisticsStrategy,
)
from prodml.components.schema_gen.component import SchemaGen
from prodml.components.statistics_gen.component import StatisticsGen, StatsOptions
from prodml.components.trainer.component import EvalArgs, TrainArgs, Trainer
from prodml.components.trainer.export import export_model
from prodml.components.trainer.fn_args import DataAccessor, FnArgs
from prodml.components.transform.component import SplitsConfig, Transform

__all__ = [
    "AggregationOptions",
    "BinarizationOptions",
    "ConfidenceIntervalOptions",
    "CrossSliceMetricThreshold",
    "CrossSliceMetricThresholds",
    "CrossSlicingSpec",
    "CsvExampleGen",
    "DataAccessor",
    "EvalArgs",
    "EvalConfig",
    "Evaluator",
    "ExampleValidator",
    "ExampleWeightOptions",
    "FnArgs",
    "GenericChangeThreshold",
    "GenericValueThreshold",
    "ImportExampleGen",
    "ImportSchemaGen",
    "Importer",
    "InfraValidator",
    "Input",
    "LatestArtifactStrategy",
    "LatestBlessedModelStrategy",
    "LatestValidatedStatisticsStrategy",
    "LocalDockerConfig",
    "MetricConfig",
    "MetricDirection",
    "MetricThreshold",
    "MetricsSpec",
    "ModelSpec",
    "Options",
    "Output",
    "PaddingOptions",
    "ParquetExampleGen",
    "PerSliceMetricThreshold",
    "PerSliceMetricThresholds",
    "PushDestination",
    "Pusher",
    "RangeConfig",
    "RepeatedInt32Value",
    "RepeatedStringValue",
    "RequestSpec",
    "Resolver",
    "RollingRange",
    "SchemaGen",
    "ServingSpec",
    "SlicingSpec",
    "SplitConfig",
    "SplitsConfig",
    "StaticRange",
    "StatisticsGen",
    "StatsOptions",
    "TensorFlowServing",
    "TensorFlowServingRequestSpec",
    "TrainArgs",
    "Trainer",
    "Transform",
    "ValidationSpec",
    "export_model",
]
