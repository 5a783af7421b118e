"""Sums by key and group equal a count in Python, for any batches of the rows."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prodml.components.evaluator.whole_batches.sums_by_key import (
    Membership,
    Sums,
    Terms,
    merge,
    sum_by_group,
)

GROUPS = 3
_term = st.tuples(
    st.integers(-2, 4), st.integers(-8, 8).map(float), st.booleans(), st.sets(st.integers(0, 2))
)


@given(rows=st.lists(st.tuples(_term, _term), max_size=20), cuts=st.sets(st.integers(0, 20)))
def test_merged_sums_of_batches_equal_a_count_in_python(
    rows: list[tuple[tuple[int, float, bool, set[int]], ...]], cuts: set[int]
) -> None:
    expected: list[dict[int, list[float]]] = [{} for _ in range(GROUPS)]
    for row in rows:
        for group in row[0][3]:
            for key, value, is_kept, _ in row:
                if is_kept:
                    sums = expected[group].setdefault(key, [0.0, 0.0])
                    sums[0] += value
                    sums[1] += 1
    bounds = [0, *sorted(cut for cut in cuts if cut < len(rows)), len(rows)]
    batches = [_summed(rows[start:end]) for start, end in itertools.pairwise(bounds)]
    for group in range(GROUPS):
        assert _as_dict(merge([batch[group] for batch in batches])) == expected[group]


@given(
    sums=st.lists(
        st.dictionaries(st.integers(-3, 3), st.integers(-9, 9).map(float)), min_size=1, max_size=6
    ),
    seed=st.integers(),
)
def test_sums_merge_in_any_order_and_grouping(sums: list[dict[int, float]], seed: int) -> None:
    each = [
        Sums(np.array(sorted(part), np.int64), np.array([[part[key]] for key in sorted(part)]))
        if part
        else Sums(np.empty(0, np.int64), np.empty((0, 1)))
        for part in sums
    ]
    shuffled = random.Random(seed).sample(each, len(each))
    middle = len(shuffled) // 2
    halves = [merge(part) for part in (shuffled[:middle], shuffled[middle:]) if part]
    assert _as_dict(merge(each)) == _as_dict(merge(halves))


def test_a_group_without_terms_has_no_keys() -> None:
    terms = Terms(np.array([[5]]), [np.array([[2.0]])], np.array([[False]]))
    [sums] = sum_by_group(terms, Membership(np.array([0]), np.array([0]), 1))
    assert sums.keys.tolist() == []
    assert sums.values.shape == (0, 1)


def test_a_row_counts_in_each_of_its_groups() -> None:
    terms = Terms(np.array([[5], [5]]), [np.array([[2.0], [3.0]])])
    both = sum_by_group(terms, Membership(np.array([0, 1, 1]), np.array([0, 0, 1]), 2))
    assert [_as_dict(sums) for sums in both] == [{5: [5.0]}, {5: [3.0]}]


def _summed(rows: Sequence[tuple[tuple[int, float, bool, set[int]], ...]]) -> list[Sums]:
    shape = (len(rows), 2)
    values = np.array([[term[1] for term in row] for row in rows], float).reshape(shape)
    terms = Terms(
        np.array([[term[0] for term in row] for row in rows], np.int64).reshape(shape),
        [values, np.ones(shape)],
        np.array([[term[2] for term in row] for row in rows], bool).reshape(shape),
    )
    pairs = sorted((group, i) for i, row in enumerate(rows) for group in row[0][3])
    groups, members = np.array(pairs, np.int64).reshape(-1, 2).T
    return sum_by_group(terms, Membership(members, groups, GROUPS))


def _as_dict(sums: Sums) -> dict[int, list[float]]:
    assert sums.keys.tolist() == sorted(set(sums.keys.tolist()))
    return dict(zip(sums.keys.tolist(), sums.values.tolist(), strict=True))
