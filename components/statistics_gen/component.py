"""Declaration of StatisticsGen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from prodml.artifacts import Examples, ExampleStatistics, Schema
from prodml.dsl.component import Component
from prodml.dsl.signature import Input, Output, Parameter


@dataclass(frozen=True)
class StatsOptions:
    """Options of the statistics: the fields of `tfdv.StatsOptions`, with its names and defaults.

    Attributes:
        label_feature: the label; with a schema, adds the lift of each value to the statistics.
        weight_feature: a numeric feature that contains the weight of each row.
        sample_rate: the share of rows to read, above 0 and up to 1; always the same rows.
        num_top_values: number of most frequent values to keep for each string feature.
        frequency_threshold: minimum number of rows with a value for it to count as frequent.
        weighted_frequency_threshold: the same for weighted rows.
        num_rank_histogram_buckets: buckets of the rank histogram of a string feature.
        num_values_histogram_buckets: buckets for the number of values in a row.
        num_histogram_buckets: buckets of equal width of a numeric feature.
        num_quantiles_histogram_buckets: buckets of equal count of a numeric feature.
        epsilon: maximum error of a quantile, as a share of the rows.
        enable_semantic_domain_stats: whether to detect natural language, images and times.
        semantic_domain_stats_sample_rate: the share of rows to read for this detection.
        feature_allowlist: features to compute statistics of; all features by default.
        use_sketch_based_topk_uniques: whether to count distinct values with sketches, in bounded
            memory: exact up to 16,384 distinct values of a feature, within about 1 % beyond.
            TFDV's own default is False, which is slower and creates one Beam element per value.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    label_feature: str | None = None
    weight_feature: str | None = None
    sample_rate: float | None = None
    num_top_values: int = 20
    frequency_threshold: int = 1
    weighted_frequency_threshold: float = 1.0
    num_rank_histogram_buckets: int = 1000
    num_values_histogram_buckets: int = 10
    num_histogram_buckets: int = 10
    num_quantiles_histogram_buckets: int = 10
    epsilon: float = 0.01
    enable_semantic_domain_stats: bool = False
    semantic_domain_stats_sample_rate: float | None = None
    feature_allowlist: list[str] | None = None
    use_sketch_based_topk_uniques: bool = True

    def __post_init__(self) -> None:
        for name in ("sample_rate", "semantic_domain_stats_sample_rate"):
            rate = getattr(self, name)
            if rate is not None and not 0 < rate <= 1:
                raise ValueError(f"{name} must be above 0 and up to 1, got {rate}")


class StatisticsGen(Component):
    """Computes statistics of every split of the examples, with TensorFlow Data Validation.

    Args:
        examples: the examples.
        schema: what is known about the features; for example, a number that the schema declares
            categorical is counted by value.
        stats_options: options of the statistics.
        exclude_splits: splits to skip.
    """

    execution_type = "tfx.components.statistics_gen.component.StatisticsGen"

    examples: Input[Examples]
    schema: Input[Schema] | None = None
    stats_options: Parameter[StatsOptions | None] = None
    exclude_splits: Parameter[list[str]] = ()
    statistics: Output[ExampleStatistics]
