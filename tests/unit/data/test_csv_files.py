"""Types, quotes and blanks of CSV files."""

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tfx_bsl.coders.csv_decoder import _VALUE_CONVERTER_MAP, ColumnType, _InferValueType

from prodml.data import csv_files
from prodml.errors import InputDataError

KINDS = {"int64": ColumnType.INT, "double": ColumnType.FLOAT, "string": ColumnType.STRING}


def read(directory: Path, *texts: str) -> tuple[dict[str, str], dict[str, list[Any]]]:
    files = []
    for number, text in enumerate(texts):
        path = directory / f"{number}.csv"
        path.write_text(text, encoding="utf-8", newline="")
        files.append(str(path))
    table = csv_files.inspect(files)
    rows = pa.Table.from_batches(list(csv_files.read(table)))
    return {name: str(kind) for name, kind in table.columns.items()}, rows.to_pydict()


def type_of_tfx(cells: list[str]) -> ColumnType:
    # TFX parses bytes: Python parses "٣" as a number, but not its UTF-8 bytes.
    return max(_InferValueType(cell.encode()) for cell in cells)


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", "007", "-3"], "int64", [1, 7, -3]),
        (["1", "2.5", "1e3"], "double", [1.0, 2.5, 1000.0]),
        ([" 1", "2 "], "int64", [1, 2]),
        ([" 1.5", "2 "], "double", [1.5, 2.0]),
        (["  ", "1"], "string", ["  ", "1"]),
        (["0x1F", "12"], "string", ["0x1F", "12"]),
        (["9223372036854775807"], "int64", [2**63 - 1]),
        (["9223372036854775808", "1"], "string", ["9223372036854775808", "1"]),
        (["2.5", "9223372036854775808"], "string", ["2.5", "9223372036854775808"]),
        (["+5", "6", " +7 "], "int64", [5, 6, 7]),
        (["+0.5", "+.5", "-1", "+1E+2"], "double", [0.5, 0.5, -1.0, 100.0]),
        (["+inf", "-Infinity", "+5"], "double", [math.inf, -math.inf, 5.0]),
        (["+9223372036854775807"], "int64", [2**63 - 1]),
        (["+9223372036854775808"], "string", ["+9223372036854775808"]),
        (["+49 30 1234", "+5"], "string", ["+49 30 1234", "+5"]),
        (["+-5"], "string", ["+-5"]),
        (["+ 5"], "string", ["+ 5"]),
        (["+0x10"], "string", ["+0x10"]),
        (["nan(1)", "5"], "string", ["nan(1)", "5"]),
        (["-0", "5", "1"], "int64", [0, 5, 1]),
        (["5.", ".5", "1e5"], "double", [5.0, 0.5, 1e5]),
        (["٣"], "string", ["٣"]),
        (["true", "false"], "string", ["true", "false"]),
        (["2013-01-01"], "string", ["2013-01-01"]),
    ],
)
def test_types_equal_those_of_tfx(
    tmp_path: Path, cells: list[str], kind: str, values: list[Any]
) -> None:
    assert KINDS[kind] == type_of_tfx(cells)
    lines = "".join(f"{cell}\n" for cell in cells)
    assert read(tmp_path, "a\n" + lines) == ({"a": kind}, {"a": values})
    first, *others = (f"a\n{cell}\n" for cell in cells)
    assert read(tmp_path, first, *others) == ({"a": kind}, {"a": values})


@pytest.mark.parametrize(
    ("cell", "as_tfx"),
    [("1_000", ColumnType.INT), ("1_0.5", ColumnType.FLOAT), ("\f5", ColumnType.INT)],
)
def test_numbers_that_only_python_parses_are_text(
    tmp_path: Path, cell: str, as_tfx: ColumnType
) -> None:
    assert type_of_tfx([cell]) == as_tfx
    assert read(tmp_path, f"a\n{cell}\n") == ({"a": "string"}, {"a": [cell]})


def test_a_plus_is_kept_in_text_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n+5\n6\n")
    table = csv_files.inspect([str(tmp_path / "a.csv")]).with_types({"a": pa.string()})
    assert pa.Table.from_batches(list(csv_files.read(table))).to_pydict() == {"a": ["+5", "6"]}


numbers = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.floats().map(str),
    st.sampled_from(["x", " 4", "5 ", "0x1", "1e5", ".5", "+5", "+.5", "TRUE"]),
    st.text("+-.0123456789eExXinfaN() \t", min_size=1, max_size=6),
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(numbers, min_size=1, max_size=5))
def test_types_and_values_of_any_cells_equal_those_of_tfx(tmp_path: Path, cells: list[str]) -> None:
    kinds, values = read(tmp_path, "a\n" + "".join(f"{cell}\n" for cell in cells))
    expected = type_of_tfx(cells)
    assert KINDS[kinds["a"]] == expected
    converted = [_VALUE_CONVERTER_MAP[expected](cell) for cell in cells]
    assert [str(value) for value in values["a"]] == [str(value) for value in converted]


def test_a_quoted_empty_cell_is_missing_and_a_blank_line_is_not_a_row(tmp_path: Path) -> None:
    assert read(tmp_path, '\na,b\n1,x\n\n"",""\n') == (
        {"a": "int64", "b": "string"},
        {"a": [1, None], "b": ["x", None]},
    )


def test_an_unclosed_quote_is_an_error_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match=r"0\.csv, in the row that starts on line 3: .*close"):
        read(tmp_path, 'a,b\n1,x\n2,"y\n3,z\n4,w\n')


def test_a_quote_within_an_unquoted_cell_is_kept(tmp_path: Path) -> None:
    assert read(tmp_path, 'a\n5" disk\n')[1] == {"a": ['5" disk']}


def test_a_ragged_row_after_a_large_cell_is_found(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match=r"row 2 \(line 3\): expected 2 cells .*got 3"):
        read(tmp_path, f"a,b\n1,{'x' * 200_000}\n2,3,4\n")
