"""Configuration of ExampleGens; names of classes and fields are TFX's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from prodml.dsl.locations import author_location
from prodml.errors import DefinitionError
from prodml.names import RULE, is_name


@dataclass(frozen=True)
class InputSplit:
    """The files of one input split.

    Attributes:
        name: name of the split.
        pattern: pattern of paths relative to `input_base`; `{SPAN}`, `{SPAN:2}` and `{VERSION}`
            match numbers, `*` matches any text within a directory, `**` matches directories too.
    """

    name: str
    pattern: str

    def __post_init__(self) -> None:
        steps = self.pattern.split("/")
        if self.pattern.startswith("/") or ".." in steps or "\0" in self.pattern:
            raise ValueError(
                f"split {self.name!r}: pattern {self.pattern!r} leaves input_base; set input_base "
                f"to a directory that contains all files"
            )


@dataclass(frozen=True)
class Input:
    """The input splits. If there are several and no output_config, they become the output's."""

    splits: list[InputSplit] = field(
        default_factory=lambda: [InputSplit(name="single_split", pattern="*")]
    )

    Split = InputSplit

    def __post_init__(self) -> None:
        _require_names([split.name for split in self.splits])

    def __class_getitem__(cls, declared: object) -> NoReturn:
        raise _not_a_marker(cls)


@dataclass(frozen=True)
class OutputSplit:
    """A split of the output, with its number of hash buckets."""

    name: str
    hash_buckets: int

    def __post_init__(self) -> None:
        if self.hash_buckets < 1:
            raise ValueError(f"split {self.name!r}: hash_buckets must be 1 or more")


@dataclass(frozen=True)
class SplitConfig:
    """The splits of the output, and the rule that assigns rows to them.

    Attributes:
        splits: the splits, each with its share of the rows.
        partition_feature_name: feature whose hash selects the split, so that rows with the same
            value are in the same split; by default the hash of the whole row selects it.
        time_feature_name: feature whose order selects the split: the earliest rows are in the
            first split.
    """

    splits: list[OutputSplit] = field(
        default_factory=lambda: [OutputSplit("train", 2), OutputSplit("eval", 1)]
    )
    partition_feature_name: str | None = None
    time_feature_name: str | None = None

    Split = OutputSplit

    def __post_init__(self) -> None:
        if self.partition_feature_name and self.time_feature_name:
            raise ValueError("set only one of partition_feature_name and time_feature_name")
        _require_names([split.name for split in self.splits])


def _require_names(splits: Sequence[str]) -> None:
    if not splits:
        raise ValueError("splits must name at least one split")
    if len(set(splits)) < len(splits):
        raise ValueError(f"split names must be unique, got {list(splits)}")
    for split in splits:
        if not is_name(split):
            raise ValueError(f"split name {split!r}: {RULE}")


@dataclass(frozen=True)
class Output:
    """The output splits."""

    split_config: SplitConfig = field(default_factory=SplitConfig)

    def __class_getitem__(cls, declared: object) -> NoReturn:
        raise _not_a_marker(cls)


def _not_a_marker(message: type) -> DefinitionError:
    name = message.__name__
    return DefinitionError(
        f"prodml.components.{name} configures ExampleGens; to declare a component, use "
        f"`from prodml import {name}`",
        str(author_location()),
    )


@dataclass(frozen=True)
class StaticRange:
    """The spans from start to end, inclusive."""

    start_span_number: int
    end_span_number: int


@dataclass(frozen=True)
class RollingRange:
    """The latest spans.

    Attributes:
        num_spans: maximum number of spans.
        start_span_number: lowest span number to read.
        skip_num_recent_spans: number of newest spans to skip.
    """

    num_spans: int
    start_span_number: int = 0
    skip_num_recent_spans: int = 0


@dataclass(frozen=True)
class RangeConfig:
    """The spans to read; set exactly one of the two attributes."""

    static_range: StaticRange | None = None
    rolling_range: RollingRange | None = None

    def __post_init__(self) -> None:
        if (self.static_range is None) == (self.rolling_range is None):
            raise ValueError("set exactly one of static_range and rolling_range")
