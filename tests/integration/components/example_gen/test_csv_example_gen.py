import csv
import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.running import execute

from prodml.artifacts import Examples
from prodml.components.csv_example_gen.component import CsvExampleGen
from prodml.components.example_gen.config import (
    Input,
    Output,
    RangeConfig,
    RollingRange,
    SplitConfig,
    StaticRange,
)
from prodml.components.example_gen.source import resolve
from prodml.data.examples_layout import payload_format, row_count, split_files
from prodml.data.record_batches import read_record_batches
from prodml.dsl.executor import ExecutorContext
from prodml.errors import InputDataError


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def ingested(tmp_path: Path, **arguments: Any) -> ExecutorContext:
    return execute(CsvExampleGen(input_base=str(tmp_path / "data"), **arguments), {}, tmp_path)


def rows_of(context: ExecutorContext, split: str) -> list[dict[str, Any]]:
    examples = context.output("examples", Examples)
    batches = read_record_batches(split_files(examples, split), payload_format(examples))
    return [row for batch in batches for row in batch.to_pylist()]


def all_rows(context: ExecutorContext) -> list[dict[str, Any]]:
    splits = context.output("examples", Examples).split_names
    return [row for split in splits for row in rows_of(context, split)]


NUMBERS = "id,x\n" + "".join(f"{i},{i / 2}\n" for i in range(300))
WHOLE = Output(SplitConfig(splits=[SplitConfig.Split("all", 1)]))


@pytest.mark.parametrize("payload", ["FORMAT_PARQUET", "FORMAT_TF_EXAMPLE"])
def test_rows_are_split_two_to_one_and_none_is_lost(tmp_path: Path, payload: str) -> None:
    write(tmp_path / "data" / "a.csv", NUMBERS)
    context = ingested(tmp_path, payload_format=payload)
    examples = context.output("examples", Examples)
    assert examples.split_names == ["train", "eval"]
    train, evaluation = rows_of(context, "train"), rows_of(context, "eval")
    assert sorted(row["id"][0] for row in train + evaluation) == list(range(300))
    assert 160 < len(train) < 240
    assert (row_count(examples, "train"), row_count(examples, "eval")) == (
        len(train),
        len(evaluation),
    )
    assert {c.split: c.written for c in context.row_counts} == {
        "all": 300,
        "train": len(train),
        "eval": len(evaluation),
    }


def test_both_formats_contain_the_same_rows(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.csv", "i,f,s\n1,,a\n,2.5,\n3,1.5,é\n")
    parquet = ingested(tmp_path, output_config=WHOLE)
    records = ingested(tmp_path, output_config=WHOLE, payload_format="FORMAT_TF_EXAMPLE")
    assert all_rows(parquet) == all_rows(records)
    assert all_rows(parquet)[1] == {"i": None, "f": [2.5], "s": None}


def test_the_split_of_a_row_depends_only_on_its_content(tmp_path: Path) -> None:
    lines = NUMBERS.splitlines()
    write(tmp_path / "data" / "a.csv", NUMBERS)
    one = {row["id"][0] for row in rows_of(ingested(tmp_path), "train")}
    (tmp_path / "data" / "a.csv").unlink()
    write(tmp_path / "data" / "x.csv", "\n".join([lines[0], *lines[:200:-1]]) + "\n")
    write(
        tmp_path / "data" / "y.csv",
        "x,id\n" + "".join(",".join(line.split(",")[::-1]) + "\n" for line in lines[1:201]),
    )
    two = {row["id"][0] for row in rows_of(ingested(tmp_path), "train")}
    assert one == two


def test_types_are_found_over_all_rows_of_all_files(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.csv", "a,b,c,d\n1,1,1,\n2,2,2,\n")
    write(tmp_path / "data" / "b.csv", "a,b,c,d\n3,3.5,x,\n,,,\n")
    context = ingested(tmp_path, output_config=WHOLE)
    (file,) = split_files(context.output("examples", Examples), "all")
    assert [str(field.type) for field in pq.read_schema(file)] == ["int64", "double", "string"]
    assert context.notes == ["columns without any value, not stored: d"]


@pytest.mark.parametrize(
    "text",
    [
        'a,b\r\n1,"x, y"\r\n2,"he said ""no"""\r\n3,"two\nlines"\r\n',
        '\ufeffa,b\n1,"x, y"\n2,"he said ""no"""\n3,"two\nlines"\n',
        'a,b\n1,"x, y"\n2,"he said ""no"""\n3,"two\nlines"',
    ],
)
def test_quotes_newlines_crlf_and_bom_follow_rfc_4180(tmp_path: Path, text: str) -> None:
    write(tmp_path / "data" / "a.csv", text)
    rows = all_rows(ingested(tmp_path, output_config=WHOLE))
    assert rows == [
        {"a": [1], "b": [b"x, y"]},
        {"a": [2], "b": [b'he said "no"']},
        {"a": [3], "b": [b"two\nlines"]},
    ]


cells = st.text(st.characters(blacklist_categories=["Cs", "Cc"]) | st.sampled_from('\n,"'))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 9), cells), min_size=1, max_size=20))
def test_files_of_pythons_csv_module_are_read(tmp_path: Path, table: list[tuple[int, str]]) -> None:
    path = tmp_path / "data" / "a.csv"
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["n", "text"])
        writer.writerows((n, f"t{text}") for n, text in table)
    rows = all_rows(ingested(tmp_path, output_config=WHOLE))
    assert [(r["n"][0], r["text"][0].decode()) for r in rows] == [(n, f"t{t}") for n, t in table]


def test_a_partition_feature_keeps_its_rows_together(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.csv", "who,n\n" + "".join(f"p{i % 40},{i}\n" for i in range(400)))
    config = Output(SplitConfig(partition_feature_name="who"))
    context = ingested(tmp_path, output_config=config)
    train = {row["who"][0] for row in rows_of(context, "train")}
    evaluation = {row["who"][0] for row in rows_of(context, "eval")}
    assert train and evaluation and not train & evaluation


def test_a_time_feature_puts_the_earliest_rows_into_the_first_split(tmp_path: Path) -> None:
    days = [f"2013-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(90)]
    write(
        tmp_path / "data" / "a.csv", "day,n\n" + "".join(f"{d},{i}\n" for i, d in enumerate(days))
    )
    context = ingested(tmp_path, output_config=Output(SplitConfig(time_feature_name="day")))
    train = [row["day"][0] for row in rows_of(context, "train")]
    evaluation = [row["day"][0] for row in rows_of(context, "eval")]
    assert max(train) < min(evaluation)
    assert abs(len(train) - 60) <= 2


def test_input_splits_are_kept(tmp_path: Path) -> None:
    write(tmp_path / "data" / "train" / "a.csv", "a\n1\n2\n")
    write(tmp_path / "data" / "eval" / "a.csv", "a\n3.5\n")
    config = Input(splits=[Input.Split("train", "train/*"), Input.Split("eval", "eval/*")])
    context = ingested(tmp_path, input_config=config)
    assert rows_of(context, "train") == [{"a": [1.0]}, {"a": [2.0]}]
    assert rows_of(context, "eval") == [{"a": [3.5]}]


SPANS = Input(splits=[Input.Split("all", "span-{SPAN:2}/v{VERSION}/*.csv")])


def spans_read(tmp_path: Path, range_config: RangeConfig | None) -> tuple[list[int], Examples]:
    for span, version in [(1, 0), (2, 0), (2, 1), (3, 10), (3, 9)]:
        write(
            tmp_path / "data" / f"span-{span:02}" / f"v{version}" / "a.csv",
            f"n\n{100 * span + version}\n",
        )
    context = ingested(tmp_path, input_config=SPANS, output_config=WHOLE, range_config=range_config)
    return [row["n"][0] for row in all_rows(context)], context.output("examples", Examples)


def test_the_latest_span_in_its_latest_version_is_read(tmp_path: Path) -> None:
    rows, examples = spans_read(tmp_path, None)
    assert rows == [310]
    assert (examples.properties["span"], examples.properties["version"]) == (3, 10)


@pytest.mark.parametrize(
    ("range_config", "rows"),
    [
        (RangeConfig(static_range=StaticRange(1, 2)), [100, 201]),
        (RangeConfig(rolling_range=RollingRange(num_spans=2)), [201, 310]),
        (RangeConfig(rolling_range=RollingRange(num_spans=1, skip_num_recent_spans=1)), [201]),
        (RangeConfig(rolling_range=RollingRange(num_spans=9, start_span_number=2)), [201, 310]),
    ],
)
def test_a_range_of_spans_is_read(
    tmp_path: Path, range_config: RangeConfig, rows: list[int]
) -> None:
    assert spans_read(tmp_path, range_config)[0] == rows


def test_the_version_is_that_of_the_latest_span(tmp_path: Path) -> None:
    for span, version in [(1, 9), (2, 1)]:
        write(tmp_path / "data" / f"span-{span:02}" / f"v{version}" / "a.csv", f"n\n{span}\n")
    both = RangeConfig(rolling_range=RollingRange(num_spans=2))
    context = ingested(tmp_path, input_config=SPANS, output_config=WHOLE, range_config=both)
    properties = context.output("examples", Examples).properties
    assert (properties["span"], properties["version"]) == (2, 1)


@pytest.mark.parametrize(
    ("names", "message"), [([], "at least one split"), (["a", "a"], "must be unique")]
)
def test_input_splits_need_unique_names(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Input(splits=[Input.Split(name, "*") for name in names])


def test_input_splits_of_different_spans_are_rejected(tmp_path: Path) -> None:
    for name in ("train-1", "train-2", "eval-1"):
        write(tmp_path / "data" / name / "a.csv", "n\n1\n")
    config = Input(
        splits=[Input.Split("train", "train-{SPAN}/*"), Input.Split("eval", "eval-{SPAN}/*")]
    )
    with pytest.raises(
        InputDataError, match="'train' has span 2 version 0, 'eval' has span 1 version 0"
    ):
        ingested(tmp_path, input_config=config)


def parameters(base: Path) -> dict[str, Any]:
    return {"input_base": str(base), "input_config": None, "range_config": None}


def test_the_drivers_fingerprint_covers_content_and_not_times(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "a\n1\n")
    before = resolve(parameters(tmp_path)).fingerprint
    os.utime(file, (1, 1))
    assert resolve(parameters(tmp_path)).fingerprint == before
    write(file, "a\n2\n")
    assert resolve(parameters(tmp_path)).fingerprint != before


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.csv": ""}, r"a\.csv is empty; it needs a header"),
        ({"a.csv": "a,b\n"}, r"a\.csv has a header but no rows"),
        (
            {"a.csv": "a,b\n1,2\n3\n"},
            r"a\.csv, row 2 \(line 3\): expected 2 cells .*got 1",
        ),
        (
            {"a.csv": 'a,b\n"1\n1",2\n3,4,5\n'},
            r"a\.csv, row 2 \(line 4\): expected 2 cells .*got 3",
        ),
        ({"a.csv": "a,b\n1,2\n", "b.csv": "a,c\n1,2\n"}, r"b\.csv lacks b and has c .*a\.csv"),
        ({"a.csv": b"a,b\n1,2\n3,\xff\n"}, r"a\.csv, line 3, byte 3: not UTF-8 \(0xff\)"),
        ({"a.csv": b"a,\xff\n1,2\n"}, r"a\.csv, line 1, byte 3: not UTF-8"),
        ({"a.csv": "a,a\n1,2\n"}, r"a appears more than once"),
        ({"a.csv": "a,\n1,2\n"}, r"column 2 has no name"),
        ({}, r"no files match '\*' under .*which contains: nothing"),
    ],
)
def test_bad_files_are_named_with_row_and_fix(
    tmp_path: Path, files: dict[str, str | bytes], message: str
) -> None:
    (tmp_path / "data").mkdir()
    for name, content in files.items():
        write(tmp_path / "data" / name, content)
    with pytest.raises(InputDataError, match=message):
        ingested(tmp_path)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="is not a directory"):
        ingested(tmp_path)


def test_a_split_column_that_is_absent_is_named(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.csv", NUMBERS)
    with pytest.raises(InputDataError, match="no column 'idd'; did you mean 'id'"):
        ingested(tmp_path, output_config=Output(SplitConfig(partition_feature_name="idd")))


def test_a_split_without_rows_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.csv", "a\n1\n")
    with pytest.raises(InputDataError, match="got none of the 1 rows"):
        ingested(tmp_path)


def test_the_artifact_describes_its_content(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.csv", NUMBERS)
    examples = ingested(tmp_path).output("examples", Examples)
    assert examples.custom_properties["payload_format"] == "FORMAT_PARQUET"
    assert examples.custom_properties["file_format"] == "parquet"
    assert sum(json.loads(str(examples.custom_properties["row_counts"])).values()) == 300


def test_a_link_that_leaves_the_input_is_rejected(tmp_path: Path) -> None:
    secret = write(tmp_path / "elsewhere" / "a.csv", "n\n1\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").symlink_to(secret)
    with pytest.raises(InputDataError, match=r"a\.csv is a symbolic link that leaves input_base"):
        ingested(tmp_path)
    (tmp_path / "data" / "a.csv").unlink()
    write(tmp_path / "data" / ".real" / "a.csv", "n\n1\n")
    (tmp_path / "data" / "a.csv").symlink_to(tmp_path / "data" / ".real" / "a.csv")
    assert all_rows(ingested(tmp_path, output_config=WHOLE)) == [{"n": [1]}]
