"""The prepared flights, compared row by row with the files of the package."""

import csv
import importlib.util
import io
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from typer import BadParameter

PREPARE = Path(__file__).parents[3] / "examples" / "flights" / "prepare.py"
KNOWN_ONLY_AFTER_DEPARTURE = {
    "dep_time",
    "dep_delay",
    "arr_time",
    "arr_delay",
    "air_time",
}


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("flights_prepare", PREPARE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def january(prepare: ModuleType) -> pd.DataFrame:
    return prepare.label(prepare.scheduled_flights(prepare.package_data(), [1]))


@pytest.fixture(scope="module")
def prepared(january: pd.DataFrame, prepare: ModuleType, tmp_path_factory) -> list[dict[str, str]]:
    path = tmp_path_factory.mktemp("flights") / "span-01" / "flights.csv"
    prepare.write(january, path)
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def package_rows(prepare: ModuleType, name: str) -> list[dict[str, str]]:
    data = prepare.package_data()
    if name == "flights":
        with zipfile.ZipFile(io.BytesIO((data / "flights.csv.zip").read_bytes())) as archive:
            text = archive.read("flights.csv").decode()
    else:
        text = (data / f"{name}.csv").read_text()
    return list(csv.DictReader(io.StringIO(text)))


def test_a_day_equals_a_row_by_row_join_of_the_package(prepare, prepared):
    weather = {(row["origin"], row["time_hour"]): row for row in package_rows(prepare, "weather")}
    planes = {row["tailnum"]: row for row in package_rows(prepare, "planes")}
    expected = []
    for flight in package_rows(prepare, "flights"):
        if (flight["month"], flight["day"]) != ("1", "16") or flight["arr_delay"] == "NA":
            continue
        measured = weather.get((flight["origin"], flight["time_hour"]), {})
        plane = planes.get(flight["tailnum"], {})
        joined = {
            "flight": flight["flight"],
            "carrier": flight["carrier"],
            "origin": flight["origin"],
            "dest": flight["dest"],
            "distance": flight["distance"],
            "hour": flight["hour"],
            "minute": flight["minute"],
            "weekday": "3",
            "plane_year": plane.get("year", "NA"),
            "plane_seats": plane.get("seats", "NA"),
            **{name: measured.get(name, "NA") for name in prepare.WEATHER},
            "is_late": "1" if int(flight["arr_delay"]) > 15 else "0",
        }
        expected.append({name: as_value(text) for name, text in joined.items()})
    found = [
        {name: as_value(row[name]) for name in expected[0]}
        for row in prepared
        if row["day"] == "16"
    ]
    assert len(expected) > 800
    assert found == expected


def as_value(text: str) -> float | str | None:
    if text in ("", "NA"):
        return None
    try:
        return float(text)
    except ValueError:
        return text


def test_no_column_is_known_only_after_departure(prepared):
    assert not KNOWN_ONLY_AFTER_DEPARTURE & set(prepared[0])


def test_flights_that_never_arrived_are_dropped(prepare, january):
    flights = package_rows(prepare, "flights")
    arrived = [row for row in flights if row["month"] == "1" and row["arr_delay"] != "NA"]
    assert len(january) == len(arrived)


@pytest.mark.parametrize("delay, is_late", [(-20, 0), (15, 0), (16, 1)])
def test_a_flight_is_late_if_it_arrives_more_than_15_minutes_late(prepare, delay, is_late):
    flight = dict.fromkeys(prepare.COLUMNS, 0) | {"arr_delay": delay}
    assert prepare.label(pd.DataFrame([flight]))["is_late"].tolist() == [is_late]


@pytest.mark.parametrize("count", [10, 27_004, 60_000])
def test_exactly_the_requested_number_of_rows_is_written(prepare, january, count):
    resized = prepare.resized(january, count)
    assert len(resized) == count
    if count > len(january):
        assert len(resized.drop_duplicates()) == len(january.drop_duplicates())


def test_a_failed_write_keeps_the_previous_file(prepare, january, tmp_path):
    path = tmp_path / "span-01" / "flights.csv"
    prepare.write(january.head(3), path)
    before = path.read_bytes()

    class Unwritable:
        def __str__(self):
            raise OSError("no text for this cell")

    with pytest.raises(OSError):
        prepare.write(january.head(3).assign(carrier=Unwritable()), path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["flights.csv"]


@pytest.mark.parametrize("text", ["0", "13", "3-1", "1-13", "march", "1-2-3", ""])
def test_months_outside_the_year_are_refused(prepare, text):
    with pytest.raises(BadParameter):
        prepare.parse_months(text)


def test_months_are_a_number_or_a_range(prepare):
    assert list(prepare.parse_months("4")) == [4]
    assert list(prepare.parse_months("1-3")) == [1, 2, 3]
