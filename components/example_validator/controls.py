"""Finds the statistics that a split is compared with, for drift and for skew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow_data_validation as tfdv

from prodml.artifacts import ExampleStatistics
from prodml.errors import InputDataError
from prodml.suggestions import suggest

INPUTS: Mapping[str, str] = {"drift": "previous_statistics", "skew": "serving_statistics"}
"""The input of each kind of comparison."""

Pairs = Sequence[tuple[str, str]]
"""Pairs of a split of `statistics` and the split of the other statistics to compare it with."""


@dataclass(frozen=True)
class Control:
    """The statistics that one split is compared with, or the reason for their absence.

    Attributes:
        kind: "drift" or "skew".
        name: description of the artifact for messages; empty if there is no artifact.
        statistics: a DatasetFeatureStatisticsList with rows, or None.
        absence: the reason why `statistics` is None; empty if it is not None.
        sampling: the reason why numbers of examples cannot be compared; empty if they can.
    """

    kind: str
    name: str = ""
    statistics: Any = None
    absence: str = ""
    sampling: str = ""

    @property
    def is_given(self) -> bool:
        """Whether there is an artifact to compare with; on a first run there is none."""
        return bool(self.name)


def find_control(
    kind: str,
    statistics: ExampleStatistics,
    others: Sequence[ExampleStatistics],
    split: str,
    pairs: Pairs | None,
) -> Control | None:
    """Finds the statistics to compare a split with; None if `pairs` do not list the split.

    Args:
        kind: "drift" or "skew".
        statistics: the statistics to validate.
        others: the artifacts to compare with, newest first. The first that is not `statistics`
            itself is used, because a repeated run finds its own statistics as the newest.
        split: the split to validate.
        pairs: `include_split_pairs`.
    """
    if pairs is not None and split not in dict(pairs):
        return None
    if not others:
        return Control(kind, absence=f"{INPUTS[kind]} is not available")
    other = next((each for each in others if not _is_same(each, statistics)), others[0])
    name = _name(kind, other)
    compared = split if pairs is None else dict(pairs)[split]
    if compared not in other.split_names:
        return Control(kind, name, absence=_without_split(name, other, compared))
    if compared == split and _is_same(other, statistics):
        return Control(
            kind,
            name,
            absence=f"{name} is the artifact to validate itself; make the Resolver find two "
            f'artifacts, with config={{"desired_num_of_artifacts": 2}}',
        )
    found = tfdv.load_stats_binary(other.stats_path(compared))
    if not found.datasets or not found.datasets[0].num_examples:
        return Control(kind, name, absence=f"split {compared!r} of {name} has no rows")
    return Control(kind, name, found, sampling=_sampling(name, statistics, other))


def check_pairs(pairs: Pairs, splits: Sequence[str], others: Sequence[str]) -> None:
    """Checks `include_split_pairs`.

    Raises:
        InputDataError: a split does not exist, or is paired with two others.
    """
    lefts = [left for left, _ in pairs]
    for left, right in pairs:
        for name, known in ((left, splits), (right, others)):
            if name not in known:
                raise InputDataError(
                    f"include_split_pairs ({left!r}, {right!r}): no split {name!r}"
                    f"{suggest(name, known)}"
                )
        if lefts.count(left) > 1:
            raise InputDataError(
                f"include_split_pairs compares split {left!r} more than once; keep one pair"
            )


def _is_same(one: ExampleStatistics, other: ExampleStatistics) -> bool:
    """Whether two artifacts have the same content; a run with `--no-cache` reproduces it."""
    digest = one.custom_properties.get("digest")
    return one.uri == other.uri or (
        digest is not None and digest == other.custom_properties.get("digest")
    )


def _sampling(name: str, one: ExampleStatistics, other: ExampleStatistics) -> str:
    own, others = (each.custom_properties.get("sample_rate", 1) for each in (one, other))
    if own == others:
        return ""
    return (
        f"these statistics have a sample_rate of {own}, but {name} has {others}; use the same "
        f"sample_rate for both"
    )


def _name(kind: str, artifact: ExampleStatistics) -> str:
    producer = artifact.custom_properties.get("producer_component")
    output = artifact.custom_properties.get("output_key")
    origin = f", {producer}.{output}" if producer else ""
    return f"{INPUTS[kind]} (artifact {artifact.id}{origin})"


def _without_split(name: str, artifact: ExampleStatistics, split: str) -> str:
    if not artifact.split_names:
        return (
            f"{name} has no splits; restrict the channel to the node that produces the "
            f"statistics, such as "
            f'Channel(type=ExampleStatistics, producer_component_id="StatisticsGen")'
        )
    known = ", ".join(map(repr, artifact.split_names))
    return f"{name} has no split {split!r}, only {known}; pair them with include_split_pairs"
