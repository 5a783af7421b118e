"""The baseline that the model has to beat: the delay rate by carrier and hour."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from prepare import label, package_data, parse_months, scheduled_flights
from pushed_model import PushedModel

SPLIT_SEED = 2013


def main(
    months: Annotated[str, typer.Option(help="Months to train on: 4, or 1-3.")] = "1-3",
    test_month: Annotated[
        int | None, typer.Option(min=1, max=12, help="Also test on this later month.")
    ] = None,
    serving_dir: Annotated[
        Path | None,
        typer.Option(help="Also test the model that was pushed here, on the later month."),
    ] = None,
) -> None:
    """Prints the AUC of the delay rate by carrier and hour, on held-out flights."""
    flights = label(scheduled_flights(package_data(), parse_months(months)))
    is_train = np.random.default_rng(SPLIT_SEED).random(len(flights)) < 2 / 3
    report("a third of the flights, at random", flights[is_train], flights[~is_train])
    # ISO times in UTC sort as text.
    in_order = flights.sort_values("scheduled_departure", kind="stable")
    border = len(flights) * 2 // 3
    report("the latest third of the flights", in_order[:border], in_order[border:])
    if test_month is not None:
        later = label(scheduled_flights(package_data(), [test_month]))
        report(f"month {test_month}", flights, later)
        if serving_dir is not None:
            model = PushedModel(serving_dir)
            score = auc(later["is_late"], pd.Series(model.probabilities(later)))
            typer.echo(f"{score:.3f}  {model.path} on month {test_month}")


def report(where: str, train: pd.DataFrame, test: pd.DataFrame) -> None:
    score = auc(test["is_late"], delay_rates(train, test))
    typer.echo(f"{score:.3f}  delay rate by carrier and hour on {where}")


def delay_rates(train: pd.DataFrame, test: pd.DataFrame) -> pd.Series[float]:
    """Returns the share of late flights of the same carrier and hour; of all flights if none."""
    rates = train.groupby(["carrier", "hour"])["is_late"].mean().rename("rate")
    rate = test.join(rates, on=["carrier", "hour"])["rate"]
    return rate.fillna(train["is_late"].mean())


def auc(is_late: pd.Series[int], score: pd.Series[float]) -> float:
    """Returns the AUC, computed by the Mann-Whitney statistic."""
    late = is_late.to_numpy() == 1
    ranks = score.rank().to_numpy()
    wins = ranks[late].sum() - late.sum() * (late.sum() + 1) / 2
    return float(wins / (late.sum() * (~late).sum()))


if __name__ == "__main__":
    typer.run(main)
