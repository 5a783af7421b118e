"""Record batches written from within a Beam pipeline."""

from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from support.flights_with_gaps import flights, write_flights

from prodml.artifacts import Examples
from prodml.beam.profiles import RunnerProfile
from prodml.data.beam_sink import WriteRecordBatches
from prodml.data.beam_source import ReadRecordBatches
from prodml.data.examples_layout import PayloadFormat, describe_examples, split_files
from prodml.data.record_batches import read_record_batches

BOTH = pytest.mark.parametrize("payload", list(PayloadFormat))


def copy(source: Examples, directory: Path, payload: PayloadFormat, *, is_scattered: bool) -> int:
    directory.mkdir()
    counts = directory.parent / f"{directory.name}-count"
    with RunnerProfile().pipeline() as pipeline:
        batches = pipeline | ReadRecordBatches(split_files(source, "train"), payload, batch_size=7)
        if is_scattered:
            batches |= beam.Reshuffle()
        rows = batches | WriteRecordBatches(str(directory), "train", payload)
        rows | beam.Map(_write_count, str(counts))
    return int(counts.read_text())


def _write_count(rows: int, path: str) -> None:
    Path(path).write_text(str(rows))


def rows_of(directory: Path, payload: PayloadFormat) -> pa.Table:
    examples = Examples(uri=str(directory))
    describe_examples(examples, payload, {"train": 0})
    return pa.Table.from_batches(list(read_record_batches(split_files(examples, "train"), payload)))


@BOTH
def test_written_rows_can_be_read(tmp_path: Path, payload: PayloadFormat) -> None:
    source = write_flights(tmp_path / "source", payload, {"train": flights(0, 50)})
    assert copy(source, tmp_path / "copy", payload, is_scattered=False) == 50
    before = rows_of(tmp_path / "source", payload)
    assert rows_of(tmp_path / "copy", payload).select(before.column_names) == before


@BOTH
def test_no_row_is_lost_or_duplicated_over_several_bundles(
    tmp_path: Path, payload: PayloadFormat
) -> None:
    source = write_flights(tmp_path / "source", payload, {"train": flights(0, 50)})
    assert copy(source, tmp_path / "copy", payload, is_scattered=True) == 50
    found = rows_of(tmp_path / "copy", payload)
    assert sorted(found["sched_dep_time"].to_pylist()) == sorted(
        rows_of(tmp_path / "source", payload)["sched_dep_time"].to_pylist()
    )


@BOTH
def test_only_complete_files_remain(tmp_path: Path, payload: PayloadFormat) -> None:
    source = write_flights(tmp_path / "source", payload, {"train": flights(0, 50)})
    copy(source, tmp_path / "copy", payload, is_scattered=False)
    assert [entry.name for entry in (tmp_path / "copy").iterdir()] == ["Split-train"]
    [file] = (tmp_path / "copy" / "Split-train").iterdir()
    assert file.name.endswith(f"-00000-of-00001{payload.suffix}")


@BOTH
def test_a_split_without_rows_still_has_a_file(tmp_path: Path, payload: PayloadFormat) -> None:
    source = write_flights(tmp_path / "source", payload, {"train": flights(0, 0)})
    assert copy(source, tmp_path / "copy", payload, is_scattered=False) == 0
    assert len(list((tmp_path / "copy" / "Split-train").iterdir())) == 1
