"""TFMA's EvalConfig as dataclasses, without importing TFMA.

Names and meanings of messages and fields are those of `tensorflow_model_analysis/proto/
config.proto` (TFMA 0.47.1). A field whose absence is significant is None if absent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class MetricDirection(StrEnum):
    """Direction in which a metric improves."""

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
    """Values that pad labels and predictions to the same length."""

    label_int_padding: int | None = None
    label_float_padding: float | None = None
    prediction_int_padding: int | None = None
    prediction_float_padding: float | None = None


@dataclass(frozen=True)
class ModelSpec:
    """Signature, labels and weights of a model.

    Attributes:
        name: name of the model; needed only if candidate and baseline have different specs.
        model_type: leave it empty; models are called by signature ("tf_generic").
        signature_name: signature that predicts; `serving_default` if empty.
        preprocessing_function_names: signatures whose outputs can be labels, weights and slices.
        label_key: feature, or output of a preprocessing function, that contains the label.
        label_keys: label keys by output, for models with several outputs.
        prediction_key: output of the signature to evaluate, if the signature has several.
        prediction_keys: prediction keys by output.
        example_weight_key: feature that contains the weight of an example.
        example_weight_keys: weight keys by output.
        is_baseline: whether this spec is for the baseline model.
        padding_options: padding for labels and predictions of different lengths.
        inference_batch_size: rows per inference batch; 0 for TFMA's default.
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
    """One slice per value of `feature_keys`, of the rows that match `feature_values`.

    If both are empty, the slice is all rows.
    """

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
    """Averages a metric over several classes; set one of the averages."""

    micro_average: bool | None = None
    macro_average: bool | None = None
    weighted_macro_average: bool | None = None
    class_weights: dict[int, float] = field(default_factory=dict)
    top_k_list: RepeatedInt32Value | None = None


@dataclass(frozen=True)
class BinarizationOptions:
    """Classes or ranks of a multi-class model to evaluate separately."""

    class_ids: RepeatedInt32Value | None = None
    k_list: RepeatedInt32Value | None = None
    top_k_list: RepeatedInt32Value | None = None


@dataclass(frozen=True)
class ExampleWeightOptions:
    weighted: bool = False
    unweighted: bool = False


@dataclass(frozen=True)
class GenericValueThreshold:
    """Inclusive bounds of the metric's value."""

    lower_bound: float | None = None
    upper_bound: float | None = None


@dataclass(frozen=True)
class GenericChangeThreshold:
    """Bounds of the change, candidate minus baseline; `direction` must be set.

    With HIGHER_IS_BETTER, the change must be at least `absolute` and at least `relative` times the
    baseline; with LOWER_IS_BETTER, it must be at most that.
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
    """A threshold for some slices, which are evaluated even if `slicing_specs` omits them."""

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
    """A metric and its thresholds.

    Attributes:
        class_name: class of TFMA or Keras, such as "AUC" or "BinaryAccuracy".
        module: module of the class, if it is neither in TFMA nor in Keras.
        config: arguments of the class's constructor, as a JSON object.
        threshold: threshold for every evaluated slice, including all rows.
        per_slice_thresholds: thresholds for the slices that they name.
        cross_slice_thresholds: thresholds for the comparisons that they name.
    """

    class_name: str = ""
    module: str = ""
    config: str = ""
    threshold: MetricThreshold | None = None
    per_slice_thresholds: list[PerSliceMetricThreshold] = field(default_factory=list)
    cross_slice_thresholds: list[CrossSliceMetricThreshold] = field(default_factory=list)


@dataclass(frozen=True)
class MetricsSpec:
    """Metrics, and the models, outputs and classes to compute them for."""

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
    """Configuration of an evaluation.

    Attributes:
        model_specs: specs of the models; a single spec applies to candidate and baseline.
        slicing_specs: slices to evaluate, in addition to all rows.
        cross_slicing_specs: slices to compare with one another.
        metrics_specs: metrics and their thresholds.
        options: other options.
    """

    model_specs: list[ModelSpec] = field(default_factory=list)
    slicing_specs: list[SlicingSpec] = field(default_factory=list)
    cross_slicing_specs: list[CrossSlicingSpec] = field(default_factory=list)
    metrics_specs: list[MetricsSpec] = field(default_factory=list)
    options: Options | None = None
