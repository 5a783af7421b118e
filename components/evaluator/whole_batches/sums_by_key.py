"""Sums of a metric by key, which are merged by addition, in any order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Sums:
    """Sums of a metric over some rows.

    Attributes:
        keys: the keys, such as histogram buckets; int64 of shape [n], ascending.
        values: the k sums of each key; float64 of shape [n, k].
    """

    keys: Any
    values: Any


@dataclass(frozen=True)
class Terms:
    """The terms that each row of a batch adds to a metric; a row can add to several keys.

    Attributes:
        keys: int64 of shape [rows, m].
        values: k arrays of shape [rows, m].
        kept: bool of shape [rows, m]: the terms that count; None for all.
    """

    keys: Any
    values: Sequence[Any]
    kept: Any = None


@dataclass(frozen=True)
class Membership:
    """The rows of each group: `rows[i]` is in group `groups[i]`; there are `count` groups."""

    rows: Any
    groups: Any
    count: int


def sum_by_group(terms: Terms, membership: Membership) -> list[Sums]:
    """The sums of every group, indexed by the group's number."""
    known, codes = np.unique(terms.keys, return_inverse=True)
    codes = codes.reshape(terms.keys.shape)
    cells = membership.groups[:, None] * len(known) + codes[membership.rows]
    terms_of = [np.asarray(value, np.float64)[membership.rows] for value in terms.values]
    if terms.kept is not None:
        kept = terms.kept[membership.rows]
        cells, terms_of = cells[kept], [value[kept] for value in terms_of]
    found, places = np.unique(cells.ravel(), return_inverse=True)
    values = np.empty((len(found), len(terms.values)))
    for k, value in enumerate(terms_of):
        values[:, k] = np.bincount(places, weights=value.ravel(), minlength=len(found))
    ends = np.searchsorted(found, np.arange(membership.count + 1) * len(known))
    keys = known[found % len(known)] if len(known) else known
    return [Sums(keys[start:end], values[start:end]) for start, end in itertools.pairwise(ends)]


def merge(sums: Sequence[Sums]) -> Sums:
    """Merges one or more sums into the sums over all their rows."""
    if len(sums) == 1:
        return sums[0]
    keys, places = np.unique(np.concatenate([each.keys for each in sums]), return_inverse=True)
    values = np.concatenate([each.values for each in sums])
    merged = np.empty((len(keys), values.shape[1]))
    for k in range(values.shape[1]):
        merged[:, k] = np.bincount(places, weights=values[:, k], minlength=len(keys))
    return Sums(keys, merged)
