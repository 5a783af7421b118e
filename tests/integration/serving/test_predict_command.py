"""`prodml predict` sends rows of every kind to a real server."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import csv, parquet
from support.served_models import ROWS, Scorer, save

from prodml.cli.main import app
from prodml.errors import RequestError, ServingError
from prodml.serving.processes.server_launchers import Embedded
from prodml.serving.processes.server_process import ServerProcess

EXPECTED = [0.0 + 5 / 24 + 1, 0.35 + 18 / 24, 0.05, 0.25 * 0.733 + 0.5 + 1, 0.25 * 2.475 + 23 / 24]
SCHEMA = """
feature { name: "distance" type: FLOAT }
feature { name: "hour" type: INT }
feature { name: "origin" type: BYTES }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    root = tmp_path_factory.mktemp("served")
    model = save(Scorer(), root / "model")
    shutil.copytree(model.serving_model_dir, root / "late" / "1")
    base, log = str(root / "late"), str(root / "log")
    with ServerProcess(Embedded(), "late", base, log, has_rest=True) as server:
        server.wait_until_available(60)
        yield server


@pytest.fixture
def predict(
    server: ServerProcess,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """Runs the command with the rows in a file of some kind, and returns its output."""

    def run(name: str, rows: Any, *options: str) -> str:
        file = tmp_path / name
        if name == "-":
            monkeypatch.setattr("sys.stdin", io.StringIO(rows))
        elif name.endswith(".csv") and not isinstance(rows, str):
            csv.write_csv(rows, file)
        elif name.endswith(".parquet"):
            parquet.write_table(rows, file)
        else:
            file.write_text(rows)
        (tmp_path / "schema.pbtxt").write_text(SCHEMA)
        endpoint = server.rest_endpoint if "--rest" in options else server.endpoint
        typed = [option.replace("SCHEMA", str(tmp_path / "schema.pbtxt")) for option in options]
        source = name if name == "-" else str(file)
        app(
            ["predict", "--server", endpoint.address, "--model=late", source, *typed],
            standalone_mode=False,
        )
        return capsys.readouterr().out

    return run


def scores(printed: str) -> list[float]:
    return [row["predictions"]["scores"] for row in json.loads(printed)["rows"]]


JSON_ROWS = json.dumps(ROWS.to_pylist())
JSON_LINES = "\n".join(json.dumps(row) for row in ROWS.to_pylist())


@pytest.mark.parametrize("options", [(), ("--rest",), ("--schema=SCHEMA",), ("--batch-size=2",)])
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("rows.json", JSON_ROWS),
        ("rows.jsonl", JSON_LINES),
        ("-", JSON_LINES),
        ("rows.csv", ROWS),
        ("rows.parquet", ROWS),
    ],
)
def test_rows_of_every_kind_are_answered_alike(
    predict: Any, name: str, rows: Any, options: tuple[str, ...]
) -> None:
    if name == "rows.csv":  # In which 1400.0 is written 1400, and the model parses floats.
        options = (*options, "--schema=SCHEMA")
    assert scores(predict(name, rows, "--json", *options)) == pytest.approx(EXPECTED, abs=1e-5)


def test_columns_go_to_a_signature_that_takes_them_and_become_a_table(predict: Any) -> None:
    complete = json.dumps([row for row in ROWS.to_pylist() if None not in row.values()])
    printed = predict("-", complete, "--signature=serving_raw", "--limit=2", "--version=1")
    heading, first, second = printed.splitlines()
    assert heading.split() == ["distance", "hour", "origin", "->", "scores"]
    assert first.split() == ["1", "1400", "18", "JFK", "1.1"]
    assert second.split()[0] == "2"


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ('[{"hour": 1}, {"hour": "x"}]', ("--schema=SCHEMA",), "row 2, column 'hour': expected an"),
        ('[{"huor": 1}]', ("--schema=SCHEMA",), "'huor' is not in the schema; did you mean 'hour'"),
        ('[{"hour": {"a": 1}}]', (), "row 1, column 'hour': {\"a\": 1} is not a valid value"),
        ('[{"hour": 1}, 7]', (), "row 2: expected an object of columns, got 7"),
        ("hour: 1", (), "standard input is not JSON"),
        (
            "[" * 5000,
            (),
            "is not JSON, and line 1 is not a JSON object: the document nests deeper than 100",
        ),
        ("[]", (), "has no rows"),
        (JSON_ROWS, ("--signature=nope",), "no signature 'nope'"),
        (JSON_ROWS, ("--signature=serving_raw",), "row 1, column 'distance': expected a value"),
        ('[{"hour": 1}]', ("--signature=serving_raw",), "no column 'distance', 'origin'"),
        (JSON_ROWS, ("--version=1", "--label=stable"), "exclude each other"),
        (JSON_ROWS, ("--version=7",), "Servable not found for request: Specific"),
    ],
)
def test_a_wrong_request_names_the_place(
    predict: Any, rows: str, options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(RequestError) as raised:
        predict("-", rows, *options)
    assert message in str(raised.value)


def test_a_row_of_a_later_request_has_its_own_number(predict: Any) -> None:
    rows = '{"distance": 1.0, "hour": 1, "origin": "EWR"}\n' * 4 + '{"hour": 1}'
    with pytest.raises(RequestError, match="row 5, column"):
        predict("-", rows, "--signature=serving_raw", "--batch-size=2")


def test_a_text_that_reads_as_a_number_stays_a_text(predict: Any) -> None:
    rows = "distance,hour,origin\n0,0,007\n"
    printed = predict("rows.csv", rows, "--schema=SCHEMA", "--json")
    assert json.loads(printed)["rows"][0]["row"]["origin"] == "007"


def test_a_csv_cell_that_does_not_fit_the_schema_is_named(predict: Any) -> None:
    with pytest.raises(RequestError, match="row 2, column 'hour': expected an integer, got 'x'"):
        predict("rows.csv", "hour\n1\nx\n", "--schema=SCHEMA")


def test_a_type_that_the_model_does_not_parse_is_rejected_with_a_fix(predict: Any) -> None:
    with pytest.raises(RequestError, match="expected type: float.*set them with --schema"):
        predict("-", '[{"distance": 1400}]')


def test_an_unreachable_server_is_not_an_invalid_request(predict: Any) -> None:
    with pytest.raises(ServingError) as raised:
        predict("-", JSON_ROWS, "--server=localhost:1", "--timeout=5")
    assert raised.value.code == "UNAVAILABLE"
