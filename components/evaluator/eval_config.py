"""What to evaluate, as TFMA's EvalConfig has it, without importing TFMA.

Message and field names, and what they mean, are those of `tensorflow_model_analysis/proto/
config.proto` (TFMA 0.47.1). Fields whose absence means something are None where they are absent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class MetricDirection(StrEnum):
    """Which way a metric gets better."""

    UNKNOWN = "UNKNOWN"
    LOWER_IS_BETTER = "LOWER_IS_BETTER"
    HIGHER_IS_BETTER = "HIGHER_IS_BETTER"


@dataclass(frozen=True)
class RepeatedInt32Value:
    values: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class RepeatedStringValue:
    values: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PaddingOptions:
    """Values that fill labels and predictions up to one length."""

    label_int_padding: int | None = None
    label_float_padding: float | None = None
    prediction_int_padding: int | None = None
    prediction_float_padding: float | None = None


@dataclass(frozen=True)
class ModelSpec:
    """How the model is called, and what it is compared with.

    Attributes:
        name: only needed where candidate and baseline are called differently.
        model_type: leave it empty; models are called by signature ("tf_generic").
        signature_name: signature that predicts; `serving_default` where it is empty.
        preprocessing_function_names: signatures whose outputs can be labels, weights and slices.
        label_key: feature, or output of a preprocessing function, that holds the label.
        label_keys: the same by output, for models with several.
        prediction_key: output of the signature, where it has several.
        prediction_keys: the same by output.
        example_weight_key: feature that weighs the examples.
        example_weight_keys: the same by output.
        is_baseline: this spec is the baseline's.
        padding_options: for labels and predictions that differ in length.
        inference_batch_size: rows at a time; 0 leaves it to TFMA.
    """

    name: str = ""
    model_type: str = ""
    signature_name: str = ""
    preprocessing_function_names: list[str] = field(default_factory=list)
    label_key: str = ""
    label_keys: dict[str, str] = field(default_factory=dict)
    prediction_key: str = ""
    prediction_keys: dict[str, str] = field(default_factory=dict)
    example_weight_key: str = ""
    example_weight_keys: dict[str, str] = field(default_factory=dict)
    is_baseline: bool = False
    padding_options: PaddingOptions | None = None
    inference_batch_size: int = 0


@dataclass(frozen=True)
class SlicingSpec:
    """One slice per value of `feature_keys`, where `feature_values` hold; empty: all rows."""

    feature_keys: list[str] = field(default_factory=list)
    feature_values: dict[str, str] = field(default_factory=dict)
    slice_keys_sql: str = ""


@dataclass(frozen=True)
class CrossSlicingSpec:
    """Compares slices with a baseline slice of the same model."""

    baseline_spec: SlicingSpec | None = None
    slicing_specs: list[SlicingSpec] = field(default_factory=list)


@dataclass(frozen=True)
class AggregationOptions:
    """How one metric is made of several classes; set one of the averages."""

    micro_average: bool | None = None
    macro_average: bool | None = None
    weighted_macro_average: bool | None = None
    class_weights: dict[int, float] = field(default_factory=dict)
    top_k_list: RepeatedInt32Value | None = None


@dataclass(frozen=True)
class BinarizationOptions:
    """Which classes or ranks of a multi-class model to evaluate one by one."""

    class_ids: RepeatedInt32Value | None = None
    k_list: RepeatedInt32Value | None = None
    top_k_list: RepeatedInt32Value | None = None


@dataclass(frozen=True)
class ExampleWeightOptions:
    weighted: bool = False
    unweighted: bool = False


@dataclass(frozen=True)
class GenericValueThreshold:
    """Bounds that the metric itself must keep, both inclusive."""

    lower_bound: float | None = None
    upper_bound: float | None = None


@dataclass(frozen=True)
class GenericChangeThreshold:
    """Bounds that candidate minus baseline must keep; `direction` must be set.

    With HIGHER_IS_BETTER the change must be at least `absolute` and at least `relative` times the
    baseline; with LOWER_IS_BETTER at most.
    """

    absolute: float | None = None
    relative: float | None = None
    direction: MetricDirection = MetricDirection.UNKNOWN


@dataclass(frozen=True)
class MetricThreshold:
    value_threshold: GenericValueThreshold | None = None
    change_threshold: GenericChangeThreshold | None = None


@dataclass(frozen=True)
class PerSliceMetricThreshold:
    """A threshold for some slices; they are evaluated whether or not `slicing_specs` has them."""

    slicing_specs: list[SlicingSpec] = field(default_factory=list)
    threshold: MetricThreshold | None = None


@dataclass(frozen=True)
class PerSliceMetricThresholds:
    thresholds: list[PerSliceMetricThreshold] = field(default_factory=list)


@dataclass(frozen=True)
class CrossSliceMetricThreshold:
    cross_slicing_specs: list[CrossSlicingSpec] = field(default_factory=list)
    threshold: MetricThreshold | None = None


@dataclass(frozen=True)
class CrossSliceMetricThresholds:
    thresholds: list[CrossSliceMetricThreshold] = field(default_factory=list)


@dataclass(frozen=True)
class MetricConfig:
    """A metric by class name.

    Attributes:
        class_name: such as "AUC" or "BinaryAccuracy", of TFMA or Keras.
        module: where the class is, if it is in neither.
        config: JSON object of its constructor's arguments.
        threshold: holds for every slice that is evaluated, all rows included.
        per_slice_thresholds: hold for the slices they name.
        cross_slice_thresholds: hold for the comparisons they name.
    """

    class_name: str = ""
    module: str = ""
    config: str = ""
    threshold: MetricThreshold | None = None
    per_slice_thresholds: list[PerSliceMetricThreshold] = field(default_factory=list)
    cross_slice_thresholds: list[CrossSliceMetricThreshold] = field(default_factory=list)


@dataclass(frozen=True)
class MetricsSpec:
    """Metrics, and for which models, outputs and classes they are computed."""

    metrics: list[MetricConfig] = field(default_factory=list)
    model_names: list[str] = field(default_factory=list)
    output_names: list[str] = field(default_factory=list)
    output_weights: dict[str, float] = field(default_factory=dict)
    binarize: BinarizationOptions | None = None
    aggregate: AggregationOptions | None = None
    example_weights: ExampleWeightOptions | None = None
    query_key: str = ""
    thresholds: dict[str, MetricThreshold] = field(default_factory=dict)
    per_slice_thresholds: dict[str, PerSliceMetricThresholds] = field(default_factory=dict)
    cross_slice_thresholds: dict[str, CrossSliceMetricThresholds] = field(default_factory=dict)


@dataclass(frozen=True)
class ConfidenceIntervalOptions:
    method: Literal["UNKNOWN_CONFIDENCE_INTERVAL_METHOD", "POISSON_BOOTSTRAP", "JACKKNIFE"] = (
        "UNKNOWN_CONFIDENCE_INTERVAL_METHOD"
    )


@dataclass(frozen=True)
class Options:
    include_default_metrics: bool | None = None
    compute_confidence_intervals: bool | None = None
    confidence_intervals: ConfidenceIntervalOptions | None = None
    min_slice_size: int | None = None
    disabled_outputs: RepeatedStringValue | None = None


@dataclass(frozen=True)
class EvalConfig:
    """What to evaluate.

    Attributes:
        model_specs: how the models are called; one serves for candidate and baseline.
        slicing_specs: slices to evaluate, besides all rows.
        cross_slicing_specs: slices to compare with one another.
        metrics_specs: metrics and their thresholds.
        options: the rest.
    """

    model_specs: list[ModelSpec] = field(default_factory=list)
    slicing_specs: list[SlicingSpec] = field(default_factory=list)
    cross_slicing_specs: list[CrossSlicingSpec] = field(default_factory=list)
    metrics_specs: list[MetricsSpec] = field(default_factory=list)
    options: Options | None = None
