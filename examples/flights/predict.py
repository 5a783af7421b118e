"""Prints the pushed model's predictions for a morning, a midday and an evening flight."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from prepare import label, package_data, scheduled_flights
from pushed_model import PushedModel

SAMPLE_SEED = 2013
PARTS_OF_DAY = [0, 10, 16, 24]


def main(
    serving_dir: Annotated[Path, typer.Option(help="Directory the model was pushed to.")] = Path(
        ".prodml/serving/flights"
    ),
    month: Annotated[
        int, typer.Option(min=1, max=12, help="Month of 2013 that the flights are sampled from.")
    ] = 4,
) -> None:
    """Prints the pushed model's predictions for a morning, a midday and an evening flight."""
    model = PushedModel(serving_dir)
    flights = label(scheduled_flights(package_data(), [month]))
    measured = flights.dropna(subset=["temp", "dewp", "humid", "wind_speed", "precip"])
    part_of_day = pd.cut(measured["hour"], PARTS_OF_DAY, right=False)
    sample = measured.groupby(part_of_day).sample(1, random_state=SAMPLE_SEED)
    typer.echo(f"{model.path} predicts:")
    for flight, probability in zip(
        sample.to_dict("records"), model.probabilities(sample), strict=True
    ):
        typer.echo(f"  {summary(flight)}: {probability:.0%} likely to be late; {outcome(flight)}")


def summary(flight: Mapping[Hashable, Any]) -> str:
    """Formats `UA 1545, EWR to IAH, Tuesday 1 January 05:15, 39 °F, wind 12 mph`."""
    day = pd.Timestamp(2013, flight["month"], flight["day"])
    rain = f", rain {flight['precip']:.2f} in" if flight["precip"] else ""
    return (
        f"{flight['carrier']} {flight['flight']}, {flight['origin']} to {flight['dest']}, "
        f"{day:%A} {day.day} {day:%B} {flight['hour']:02d}:{flight['minute']:02d}, "
        f"{flight['temp']:.0f} °F, wind {flight['wind_speed']:.0f} mph{rain}"
    )


def outcome(flight: Mapping[Hashable, Any]) -> str:
    return "it was late" if flight["is_late"] else "it was on time"


if __name__ == "__main__":
    typer.run(main)
