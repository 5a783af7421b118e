"""Slices of a batch equal those that TFMA finds row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from prodml.components.evaluator.tfma import config_pb2, slicer_lib, util
from prodml.components.evaluator.whole_batches.batch_slices import (
    _cells,
    _Column,
    find_slices,
    slice_specs,
)

_rows = st.fixed_dictionaries(
    {
        # Features with one value in every row, with missing values, and with several values.
        "origin": st.sampled_from([[b"EWR"], [b"JFK"]]),
        "hour": st.sampled_from([[5], [17], None]),
        "stops": st.lists(st.sampled_from([b"BOS", b"ORD", b"JFK"]), max_size=2),
        "speed": st.sampled_from([[0.5], [1.25]]),
    }
)
_TYPES = {
    "origin": pa.large_binary(),
    "hour": pa.int64(),
    "stops": pa.large_binary(),
    "speed": pa.float32(),
}
_specs = st.builds(
    config_pb2.SlicingSpec,
    feature_keys=st.lists(st.sampled_from([*_TYPES, "unknown"]), unique=True, max_size=3),
    feature_values=st.dictionaries(
        st.sampled_from(["origin", "stops", "hour"]), st.sampled_from(["JFK", "17"]), max_size=1
    ),
)


@given(
    rows=st.lists(_rows, min_size=1, max_size=12),
    specs=st.lists(_specs, min_size=1, max_size=4),
    computed=st.lists(st.integers(0, 2), min_size=12, max_size=12),
    has_computed=st.booleans(),
)
def test_slices_equal_those_that_tfma_finds_row_by_row(
    rows: list[dict[str, Any]], specs: list[Any], computed: list[int], has_computed: bool
) -> None:
    config = config_pb2.EvalConfig()
    for spec in specs:
        if not set(spec.feature_keys) & set(spec.feature_values):
            config.slicing_specs.append(spec)
    extracts: dict[str, Any] = {"features": _features(rows), "input": np.zeros(len(rows))}
    if has_computed:
        extracts["transformed_features"] = {"hour": np.array(computed[: len(rows)])[:, None]}
    keys, membership = find_slices(extracts, slice_specs(config), [])
    seen = {(row, keys[group]) for row, group in _pairs(membership)}

    expected = set()
    for number, row in enumerate(util.split_extracts(extracts)):
        own = [row["transformed_features"]] if has_computed else []
        found = slicer_lib.get_slices_for_features_dicts(
            own, row.get("features", {}), slice_specs(config)
        )
        expected |= {(number, key) for key in found}
    assert seen == expected
    assert len(_pairs(membership)) == len(expected), "a row is in a slice once"
    assert membership.groups.tolist() == sorted(membership.groups.tolist())


def test_features_that_several_models_computed_are_looked_up_by_model() -> None:
    config = config_pb2.EvalConfig(slicing_specs=[config_pb2.SlicingSpec(feature_keys=["hour"])])
    computed = {"candidate": {"hour": np.array([[1], [2]])}, "baseline": {}}
    extracts = {"features": {}, "transformed_features": computed, "input": np.zeros(2)}
    keys, membership = find_slices(extracts, slice_specs(config), ["candidate", "baseline"])
    assert keys == [(("hour", 1),), (("hour", 2),)]
    assert _pairs(membership) == [(0, 0), (1, 1)]


def test_compared_slices_are_found() -> None:
    spec = config_pb2.SlicingSpec
    config = config_pb2.EvalConfig(
        cross_slicing_specs=[
            config_pb2.CrossSlicingSpec(
                baseline_spec=spec(), slicing_specs=[spec(feature_keys=["origin"])]
            )
        ]
    )
    assert slice_specs(config) == [
        slicer_lib.SingleSliceSpec(),
        slicer_lib.SingleSliceSpec(columns=["origin"]),
    ]


def _features(rows: list[dict[str, Any]]) -> Any:
    columns = {
        name: pa.array([row[name] for row in rows], pa.large_list(of))
        for name, of in _TYPES.items()
    }
    known = {name: column for name, column in columns.items() if column.null_count < len(rows)}
    batch = pa.RecordBatch.from_arrays(list(known.values()), list(known))
    return util.record_batch_to_tensor_values(batch)


def _pairs(membership: Any) -> list[tuple[int, int]]:
    return list(zip(membership.rows.tolist(), membership.groups.tolist(), strict=True))


@given(data=st.data())
def test_rows_share_a_cell_if_all_their_values_are_equal(data: st.DataObject) -> None:
    """Columns with so many distinct values that the product of their numbers exceeds 64 bits."""
    sizes = data.draw(st.lists(st.sampled_from([1, 3, 100_000, 2**31]), max_size=6))
    rows = data.draw(st.integers(1, 8))
    places = [
        data.draw(st.lists(st.sampled_from([0, size // 2, size - 1]), min_size=rows, max_size=rows))
        for size in sizes
    ]
    columns = [
        _Column(np.array(codes, np.int64), range(size))
        for codes, size in zip(places, sizes, strict=True)
    ]
    seen = {tuple(values): members.tolist() for values, members in _cells(columns, rows)}
    expected: dict[tuple[int, ...], list[int]] = {}
    for row in range(rows):
        expected.setdefault(tuple(codes[row] for codes in places), []).append(row)
    assert seen == expected
