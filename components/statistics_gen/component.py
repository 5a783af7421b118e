"""Declaration of StatisticsGen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from prodml.artifacts import Examples, ExampleStatistics, Schema
from prodml.dsl.component import Component
from prodml.dsl.signature import Input, Output, Parameter


@dataclass(frozen=True)
class StatsOptions:
    """What is computed: the fields of `tfdv.StatsOptions`, with its names and defaults.

    Attributes:
        label_feature: the label; with a schema, adds the lift of each value to the statistics.
        weight_feature: a numeric feature, the weight of its row.
        sample_rate: the share of rows to look at, above 0 and up to 1; the same rows each time.
        num_top_values: how many of the most frequent values to keep for each string feature.
        frequency_threshold: rows a value must be in to be counted as frequent.
        weighted_frequency_threshold: the same for weighted rows.
        num_rank_histogram_buckets: buckets of the rank histogram of a string feature.
        num_values_histogram_buckets: buckets for the number of values in a row.
        num_histogram_buckets: buckets of equal width of a numeric feature.
        num_quantiles_histogram_buckets: buckets of equal count of a numeric feature.
        epsilon: error allowed in a quantile, as a share of the rows.
        enable_semantic_domain_stats: looks for natural language, images and times as well.
        semantic_domain_stats_sample_rate: the share of rows that is looked at for those.
        feature_allowlist: features to look at; all where it is not given.
        use_sketch_based_topk_uniques: counts distinct values with sketches: exact up to 16,384
            distinct values of a feature, within about 1 % above, in bounded memory. TFDV's own
            default is False, which is slower and makes one Beam element of every value.
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
    """Computes statistics over every split of the examples, with TensorFlow Data Validation.

    Args:
        examples: the rows.
        schema: what a user knows of the features: a number declared categorical is then counted
            by value.
        stats_options: what is computed.
        exclude_splits: splits to leave out.
    """

    execution_type = "tfx.components.statistics_gen.component.StatisticsGen"

    examples: Input[Examples]
    schema: Input[Schema] | None = None
    stats_options: Parameter[StatsOptions | None] = None
    exclude_splits: Parameter[list[str]] = ()
    statistics: Output[ExampleStatistics]
