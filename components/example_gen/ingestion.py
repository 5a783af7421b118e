"""Reads rows from a source, splits them, and writes them as examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from prodml.artifacts import Examples
from prodml.components.example_gen.config import Output, SplitConfig
from prodml.data.examples_layout import PayloadFormat
from prodml.data.splitting import Bucketing, TimeCuts, hash_rows, time_cuts
from prodml.data.writers import ExamplesWriter
from prodml.dsl.executor import ExecutorContext
from prodml.errors import InputDataError
from prodml.suggestions import suggest

ReadBatches = Callable[[], Iterator[pa.RecordBatch]]
"""Reads all rows of a source; each call starts from the beginning."""

Sources = Mapping[str, ReadBatches]
"""The source of each input split."""

Indices = npt.NDArray[np.intp]


def ingest(context: ExecutorContext, sources: Sources) -> None:
    """Splits and writes the rows of all sources, and reconciles their numbers.

    Raises:
        InputDataError: the rows cannot be split, or a split would have no rows.
    """
    examples = context.output("examples", Examples)
    output: Output | None = context.parameters["output_config"]
    payload = PayloadFormat(context.parameters["payload_format"])
    if len(sources) > 1 and output is None:
        rows = _keep_splits(context, examples, payload, sources)
    else:
        config = output.split_config if output else SplitConfig()
        rows = _split(context, examples, payload, sources, config)
    for split, count in rows.items():
        if not count:
            raise InputDataError(
                f"split {split!r} got none of the {sum(rows.values())} rows; increase its "
                f"hash_buckets, or ingest more data"
            )
    examples.properties["span"] = context.resolved["span"]
    examples.properties["version"] = context.resolved["version"]


def _keep_splits(
    context: ExecutorContext, examples: Examples, payload: PayloadFormat, sources: Sources
) -> dict[str, int]:
    read = dict.fromkeys(sources, 0)
    with ExamplesWriter(examples, list(sources), payload) as writer:
        for split, batches in sources.items():
            for batch in batches():
                read[split] += batch.num_rows
                writer.write(split, batch)
                context.progress(sum(read.values()), None, "rows")
    for split in sources:
        context.reconcile(split, read[split], writer.rows[split])
    return writer.rows


def _split(
    context: ExecutorContext,
    examples: Examples,
    payload: PayloadFormat,
    sources: Sources,
    config: SplitConfig,
) -> dict[str, int]:
    names = tuple(split.name for split in config.splits)
    bucketing = Bucketing(names, tuple(split.hash_buckets for split in config.splits))
    cuts = _cuts(sources, bucketing, config.time_feature_name)
    read = 0
    with ExamplesWriter(examples, names, payload) as writer:
        for batches in sources.values():
            for batch in batches():
                read += batch.num_rows
                index = _assign(batch, bucketing, cuts, config)
                for number, split in enumerate(names):
                    rows = np.flatnonzero(index == number)
                    if len(rows):
                        writer.write(split, _select(batch, rows))
                context.progress(read, None, "rows")
    context.reconcile("all", read, sum(writer.rows.values()))
    for split, count in writer.rows.items():
        context.reconcile(split, count, count)
    return writer.rows


def _assign(
    batch: pa.RecordBatch, bucketing: Bucketing, cuts: TimeCuts | None, config: SplitConfig
) -> Indices:
    if cuts is not None:
        return cuts.assign(_column(batch, str(config.time_feature_name)))
    if config.partition_feature_name is not None:
        _column(batch, config.partition_feature_name)
        return bucketing.assign(hash_rows(batch, [config.partition_feature_name]))
    return bucketing.assign(hash_rows(batch))


def _cuts(sources: Sources, bucketing: Bucketing, time_feature: str | None) -> TimeCuts | None:
    if time_feature is None:
        return None
    times = [_column(batch, time_feature) for read in sources.values() for batch in read()]
    return time_cuts(bucketing, pa.chunked_array(times))


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    if name not in batch.schema.names:
        raise InputDataError(f"no column {name!r}{suggest(name, batch.schema.names)}")
    column = batch.column(name)
    if pa.types.is_large_list(column.type) or pa.types.is_list(column.type):
        if column.null_count or len(column.flatten()) != len(column):
            raise InputDataError(f"column {name!r} must have exactly one value in each row")
        return column.flatten()
    return column


def _select(batch: pa.RecordBatch, rows: Indices) -> pa.RecordBatch:
    (selected,) = pa.Table.from_batches([batch]).take(pa.array(rows)).combine_chunks().to_batches()
    return selected
