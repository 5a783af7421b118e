"""Finds the slices of a batch's rows, once for each combination of feature values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from prodml.components.evaluator.tfma import constants, slicer_lib, util
from prodml.components.evaluator.whole_batches.sums_by_key import Membership

_MAX_CODES = 1 << 62
"""Maximum number of combinations; with more, codes would overflow and rows get wrong slices."""


def slice_specs(config: Any) -> list[Any]:
    """Every slice that a `tfma.EvalConfig` needs, including compared slices."""
    wanted = list(config.slicing_specs)
    for cross in config.cross_slicing_specs:
        wanted += [cross.baseline_spec, *cross.slicing_specs]
    specs: list[Any] = []
    for spec in (slicer_lib.SingleSliceSpec(spec=each) for each in wanted):
        if spec not in specs:
            specs.append(spec)
    return specs or [slicer_lib.SingleSliceSpec()]


def find_slices(
    extracts: Mapping[str, Any], specs: Sequence[Any], models: Sequence[str]
) -> tuple[list[Any], Membership]:
    """The slices in a batch, and the rows of each; a row is in a slice at most once.

    Args:
        extracts: a batch of TFMA's batched extractors.
        specs: `tfma.slicer.SingleSliceSpec`s.
        models: names of the models if there are several, and empty otherwise. With several models,
            the extracts have computed features by model.

    Returns:
        TFMA's slice keys, in order of first occurrence, and the membership, whose groups are
        indexes into the keys.
    """
    rows = len(extracts[constants.INPUT_KEY])
    computed, stored = _features(extracts, models)
    columns: dict[tuple[int, str], _Column] = {}
    numbers: dict[Any, int] = {}
    memberships = []
    for spec in specs:
        names = {*spec._columns, *(name for name, _ in spec._features)}
        read = [
            (source, name)
            for source, features in enumerate([*computed, stored])
            for name in sorted(names & features.keys())
        ]
        for source, name in read:
            if (source, name) not in columns:
                columns[source, name] = _column([*computed, stored][source][name], rows)
        for values, members in _cells([columns[place] for place in read], rows):
            found: list[dict[str, Any]] = [{} for _ in range(len(computed) + 1)]
            for (source, name), value in zip(read, values, strict=True):
                found[source][name] = value
            keys = slicer_lib.get_slices_for_features_dicts(found[:-1], found[-1], [spec])
            for key in dict.fromkeys(keys):
                group = numbers.setdefault(key, len(numbers))
                memberships.append(group * rows + members)
    # Two specs can define the same slice; each row must be in it only once.
    found_once = np.unique(np.concatenate([np.empty(0, np.int64), *memberships]))
    groups, members = np.divmod(found_once, rows)
    return list(numbers), Membership(members, groups, len(numbers))


@dataclass(frozen=True)
class _Column:
    """A feature: the code of each row's value, and the values in TFMA's form for a row."""

    codes: Any
    values: Sequence[Any]


def _features(
    extracts: Mapping[str, Any], models: Sequence[str]
) -> tuple[list[Mapping[str, Any]], Mapping[str, Any]]:
    """The features that each model computed, and the features of the examples."""
    computed = extracts.get(constants.TRANSFORMED_FEATURES_KEY) or {}
    by_model = [computed[name] for name in models if name in computed] if models else [computed]
    return by_model, extracts.get(constants.FEATURES_KEY) or {}


def _column(values: Any, rows: int) -> _Column:
    encoded = _encoded(values, rows)
    if encoded is not None:
        codes, first = encoded
        return _Column(codes, [row["of"] for row in util.split_extracts({"of": values[first]})])
    # Rows with several values, or with none, are rare; this is slow.
    numbers: dict[Any, int] = {}
    found, numbered = [], []
    split = [row.get("of") for row in util.split_extracts({"of": values})]
    for value in [*split, *[None] * (rows - len(split))]:
        key = None if value is None else tuple(np.ravel(getattr(value, "values", value)).tolist())
        if key not in numbers:
            numbers[key] = len(numbers)
            found.append(value)
        numbered.append(numbers[key])
    return _Column(np.array(numbered, np.int64), found)


def _encoded(values: Any, rows: int) -> tuple[Any, Any] | None:
    """The codes of a feature with one value in every row, and the first row of each code.

    None if the feature has another shape or an unsupported type.
    """
    if not isinstance(values, np.ndarray) or values.size != rows:
        return None
    try:
        encoded = pa.array(values.reshape(rows)).dictionary_encode()
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None
    if encoded.null_count or pa.types.is_nested(encoded.dictionary.type):
        return None
    codes = encoded.indices.to_numpy().astype(np.int64)
    return codes, np.unique(codes, return_index=True)[1]


def _cells(columns: Sequence[_Column], rows: int) -> Iterator[tuple[list[Any], Any]]:
    """Yields each combination of values that occurs, with its rows."""
    codes, count = np.zeros(rows, np.int64), 1
    for column in columns:
        if count * len(column.values) > _MAX_CODES:
            # Renumber the combinations that occur: there are never more of them than rows.
            codes, count = np.unique(codes, return_inverse=True)[1], rows
        codes = codes * len(column.values) + column.codes
        count *= len(column.values)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    for members in np.split(order, starts[1:]):
        yield [column.values[column.codes[members[0]]] for column in columns], members
