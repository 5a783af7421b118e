"""The first rows of what is evaluated, and which columns its rows have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from prodml.components.evaluator.analysis import Split
from prodml.data.record_batches import read_record_batches
from prodml.errors import InputDataError


class Sample:
    """The first batch of some splits; reads on only if a column is asked for that it lacks.

    A tf.Example names only the features that it has, and spans may differ: a rare feature can be
    absent from the first rows, or from the first files.

    Args:
        first: the first rows.
        rest: the batches after it, in the order in which they are evaluated.

    Attributes:
        batch: the first rows.
    """

    def __init__(self, first: pa.RecordBatch, rest: Iterable[pa.RecordBatch] = ()) -> None:
        self.batch = first
        self._rest = iter(rest)
        self._columns = {name: first.column(i) for i, name in enumerate(first.schema.names)}

    @property
    def columns(self) -> frozenset[str]:
        """Names of the columns that were seen so far."""
        return frozenset(self._columns)

    def column(self, name: str) -> pa.Array:
        """A column, from the first batch that has it; `lacks` was asked for it before."""
        return self._columns[name]

    def lacks(self, names: Iterable[str]) -> list[str]:
        """Those of the names that are in no row at all, sorted."""
        missing = set(names) - self.columns
        while missing and (batch := next(self._rest, None)) is not None:
            for index, name in enumerate(batch.schema.names):
                self._columns.setdefault(name, batch.column(index))
            missing -= self.columns
        return sorted(missing)


def take_sample(splits: Sequence[Split]) -> Sample:
    """The sample of some splits.

    Raises:
        InputDataError: they have no rows.
    """
    batches = (batch for batch in _batches(splits) if batch.num_rows)
    first = next(batches, None)
    if first is None:
        names = ", ".join(sorted({split.name for split in splits}))
        raise InputDataError(f"no rows to evaluate on in the split(s) {names}")
    return Sample(first, batches)


def _batches(splits: Sequence[Split]) -> Iterator[pa.RecordBatch]:
    for split in splits:
        yield from read_record_batches(split.files, split.payload)
