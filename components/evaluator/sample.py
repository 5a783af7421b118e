"""A sample of the evaluated examples, and the columns of all their rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from prodml.components.evaluator.analysis import Split
from prodml.data.record_batches import read_record_batches
from prodml.errors import InputDataError


class Sample:
    """The first batch of some splits; reads further batches only to find a missing column.

    A tf.Example contains only the features that have values, and spans may differ: a rare feature
    can be absent from the first rows, or from the first files.

    Args:
        first: the first batch.
        rest: the following batches, in the order in which they are evaluated.

    Attributes:
        batch: the first batch.
    """

    def __init__(self, first: pa.RecordBatch, rest: Iterable[pa.RecordBatch] = ()) -> None:
        self.batch = first
        self._rest = iter(rest)
        self._columns = {name: first.column(i) for i, name in enumerate(first.schema.names)}

    @property
    def columns(self) -> frozenset[str]:
        """Names of the columns of the batches that were read so far."""
        return frozenset(self._columns)

    def column(self, name: str) -> pa.Array:
        """A column of the first batch that has it; call `lacks` first to search for it."""
        return self._columns[name]

    def lacks(self, names: Iterable[str]) -> list[str]:
        """The names of columns that no row has, sorted."""
        missing = set(names) - self.columns
        while missing and (batch := next(self._rest, None)) is not None:
            for index, name in enumerate(batch.schema.names):
                self._columns.setdefault(name, batch.column(index))
            missing -= self.columns
        return sorted(missing)


def read_sample(splits: Sequence[Split]) -> Sample:
    """Reads the sample of some splits.

    Raises:
        InputDataError: the splits have no rows.
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
