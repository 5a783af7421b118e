"""Configuration messages of ExampleGens; names and fields are TFX's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from prodml.dsl.locations import author_location
from prodml.errors import DefinitionError
from prodml.names import RULE, is_name


@dataclass(frozen=True)
class InputSplit:
    """Files that belong together.

    Attributes:
        name: name of the split.
        pattern: files under `input_base`; `{SPAN}`, `{SPAN:2}` and `{VERSION}` stand for
            numbers, `*` for anything within a directory, `**` for directories too.
    """

    name: str
    pattern: str

    def __post_init__(self) -> None:
        steps = self.pattern.split("/")
        if self.pattern.startswith("/") or ".." in steps or "\0" in self.pattern:
            raise ValueError(
                f"split {self.name!r}: pattern {self.pattern!r} leads out of input_base; name what "
                f"holds all files as input_base"
            )


@dataclass(frozen=True)
class Input:
    """Where the rows come from. With several splits, they are the output's splits too."""

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
    """A split of the output, with its share of all hash buckets."""

    name: str
    hash_buckets: int

    def __post_init__(self) -> None:
        if self.hash_buckets < 1:
            raise ValueError(f"split {self.name!r}: hash_buckets must be 1 or more")


@dataclass(frozen=True)
class SplitConfig:
    """How rows are split.

    Attributes:
        splits: the splits, each with its share.
        partition_feature_name: split by the hash of this feature alone, so that rows with one
            value stay together; by default by the hash of the whole row.
        time_feature_name: split by the order of this feature instead, the earliest rows into the
            first split, each split with its share.
    """

    splits: list[OutputSplit] = field(
        default_factory=lambda: [OutputSplit("train", 2), OutputSplit("eval", 1)]
    )
    partition_feature_name: str | None = None
    time_feature_name: str | None = None

    Split = OutputSplit

    def __post_init__(self) -> None:
        if self.partition_feature_name and self.time_feature_name:
            raise ValueError("set partition_feature_name or time_feature_name, not both")
        _require_names([split.name for split in self.splits])


def _require_names(splits: Sequence[str]) -> None:
    if not splits:
        raise ValueError("splits must name at least one split")
    if len(set(splits)) < len(splits):
        raise ValueError(f"split names must differ, got {list(splits)}")
    for split in splits:
        if not is_name(split):
            raise ValueError(f"split name {split!r}: {RULE}")


@dataclass(frozen=True)
class Output:
    """How the output is laid out."""

    split_config: SplitConfig = field(default_factory=SplitConfig)

    def __class_getitem__(cls, declared: object) -> NoReturn:
        raise _not_a_marker(cls)


def _not_a_marker(message: type) -> DefinitionError:
    name = message.__name__
    return DefinitionError(
        f"prodml.components.{name} is a message of ExampleGens; to declare what a component has, "
        f"write `from prodml import {name}`",
        str(author_location()),
    )


@dataclass(frozen=True)
class StaticRange:
    """The spans from start to end, both included."""

    start_span_number: int
    end_span_number: int


@dataclass(frozen=True)
class RollingRange:
    """The latest spans.

    Attributes:
        num_spans: how many.
        start_span_number: none below this one.
        skip_num_recent_spans: how many of the newest to leave out.
    """

    num_spans: int
    start_span_number: int = 0
    skip_num_recent_spans: int = 0


@dataclass(frozen=True)
class RangeConfig:
    """Which spans to read; set one of the two."""

    static_range: StaticRange | None = None
    rolling_range: RollingRange | None = None

    def __post_init__(self) -> None:
        if (self.static_range is None) == (self.rolling_range is None):
            raise ValueError("set static_range or rolling_range, and not both")
