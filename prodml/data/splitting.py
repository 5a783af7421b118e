"""Assigns rows to splits by a hash of their content, by a hash of one feature, or by time.

The hash is computed from the values, column by column, and does not depend on the order of rows,
files or columns, or on block sizes. Equal rows are always in the same split. Missing values are
ignored, and 5 and 5.0 are equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from prodml.errors import InputDataError

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Bucketing:
    """The names of splits, and the number of hash buckets of each."""

    names: tuple[str, ...]
    buckets: tuple[int, ...]

    def assign(self, hashes: Hashes) -> npt.NDArray[np.intp]:
        """The index of the split of each hash."""
        edges = np.cumsum(np.array(self.buckets, dtype=np.uint64))
        return np.asarray(np.searchsorted(edges, hashes % edges[-1], side="right"), dtype=np.intp)


@dataclass(frozen=True)
class TimeCuts:
    """The names of splits, and the first time value of each split except the first one."""

    names: tuple[str, ...]
    starts: pa.Array

    def assign(self, times: pa.Array) -> npt.NDArray[np.intp]:
        """The index of the split of each time; no time value is in two splits."""
        index = np.zeros(len(times), dtype=np.intp)
        for start in self.starts:
            index += pc.greater_equal(times, start).to_numpy(zero_copy_only=False)
        return index


def hash_rows(batch: pa.RecordBatch, columns: Sequence[str] | None = None) -> Hashes:
    """A stable 64-bit hash of each row's content.

    Args:
        batch: the rows.
        columns: names of the columns to hash; None for all.
    """
    total = np.zeros(batch.num_rows, dtype=np.uint64)
    for name in batch.schema.names if columns is None else columns:
        total += _mixed(_hash_column(batch.column(name)), _seed(name))
    return _mixed(total, np.uint64(0))


def time_cuts(bucketing: Bucketing, times: pa.ChunkedArray) -> TimeCuts:
    """Computes cuts so that each split has its share of the rows, earliest rows first.

    Raises:
        InputDataError: a row has no time, or there are too few different times.
    """
    if times.null_count:
        raise InputDataError(
            f"{times.null_count} row(s) have no value in the time column; fill or remove them"
        )
    ordered = times.take(pc.sort_indices(times)).combine_chunks()
    total = sum(bucketing.buckets)
    edges = np.cumsum(bucketing.buckets)[:-1]
    starts = ordered.take(pa.array([len(ordered) * int(edge) // total for edge in edges]))
    if isinstance(starts, pa.ChunkedArray):
        starts = starts.combine_chunks()
    if pc.equal(starts[0], ordered[0]).as_py() or len(starts.unique()) != len(starts):
        raise InputDataError(
            "the time column has too few different values to split by; use a column with finer "
            "times"
        )
    return TimeCuts(bucketing.names, starts)


def _hash_column(column: pa.Array) -> Hashes:
    """The hash of each value; zero for null."""
    kind = column.type
    if pa.types.is_null(kind):
        return np.zeros(len(column), dtype=np.uint64)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _hash_lists(column)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        values = pc.fill_null(column.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
        hashes = _mixed(values.view(np.uint64), np.uint64(1))
    elif pa.types.is_floating(kind):
        hashes = _hash_floats(pc.fill_null(column.cast(pa.float64()), 0.0))
    else:
        hashes = _hash_text(pc.fill_null(column, b"" if _is_binary(kind) else ""))
    present = pc.is_valid(column).to_numpy(zero_copy_only=False)
    return np.where(present, hashes, np.uint64(0))


def _hash_floats(column: pa.Array) -> Hashes:
    values = column.to_numpy(zero_copy_only=False)
    is_integer = np.isfinite(values) & (np.abs(values) < 2**53) & (values == np.trunc(values))
    integers = np.where(is_integer, values, 0).astype(np.int64).view(np.uint64)
    return _mixed(np.where(is_integer, integers, values.view(np.uint64)), np.uint64(1))


def _hash_text(column: pa.Array) -> Hashes:
    """Hashes each distinct text once, because most text columns have many repeated values."""
    encoded = column.dictionary_encode()
    distinct = encoded.dictionary.to_numpy(zero_copy_only=False)
    as_bytes = np.array([t.encode() if isinstance(t, str) else t for t in distinct], dtype=object)
    hashes: Hashes = pd.util.hash_array(as_bytes, categorize=False)
    indices = encoded.indices.to_numpy(zero_copy_only=False)
    return _mixed(hashes[indices], np.uint64(2))


def _hash_lists(column: pa.Array) -> Hashes:
    """Sums the hashes of a row's values, each except the first mixed with its position.

    So a single value has the same hash as outside of a list, and CSV and tf.Example files are
    split alike.
    """
    result = np.zeros(len(column), dtype=np.uint64)
    rows = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
    if len(rows) == 0:
        return result
    first = np.searchsorted(rows, rows, side="left")
    places = (np.arange(len(rows)) - first).astype(np.uint64)
    hashes = _hash_column(column.flatten())
    np.add.at(result, rows, np.where(places == 0, hashes, _mixed(hashes, places)))
    return result


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _seed(name: str) -> np.uint64:
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def _mixed(values: Hashes, seed: np.uint64 | Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014); zero stays zero for seed 0."""
    with np.errstate(over="ignore"):
        mixed = values ^ (values >> np.uint64(30))
        mixed = (mixed + seed * (values != 0)) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)
