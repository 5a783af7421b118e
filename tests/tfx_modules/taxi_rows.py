"""Taxi trips as TFX's tutorial has them, drawn at random: the same rows for the same number.

.venv/bin/python tests/tfx_modules/taxi_rows.py --output data/taxi --rows 15000
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import pyarrow as pa

_COMPANIES = ["Blue Cab", "Checker", "Flash", "Globe", "Yellow", ""]
_PAYMENTS = ["Cash", "Credit Card", "Dispute", "No Charge"]


def taxi_rows(rows: int) -> pa.Table:
    """One value in a hundred of some columns is missing."""
    drawn = np.random.default_rng(7)
    miles = np.round(drawn.gamma(1.5, 2.5, rows), 2)
    fare = np.round(3.25 + 2.25 * miles + drawn.normal(0, 1, rows).clip(-2, 4), 2)
    payment = drawn.choice(len(_PAYMENTS), rows, p=[0.55, 0.42, 0.01, 0.02])
    hour = drawn.integers(0, 24, rows)
    # Who pays by card tips, more so in the evening.
    share = (payment == 1) * drawn.beta(2.0 + 2.0 * (hour > 17), 7.0, rows)
    columns = {
        "pickup_community_area": drawn.integers(1, 77, rows),
        "fare": fare,
        "trip_start_month": drawn.integers(1, 12, rows),
        "trip_start_hour": hour,
        "trip_start_day": drawn.integers(1, 7, rows),
        "pickup_latitude": np.round(drawn.normal(41.9, 0.05, rows), 6),
        "pickup_longitude": np.round(drawn.normal(-87.65, 0.05, rows), 6),
        "dropoff_latitude": np.round(drawn.normal(41.9, 0.05, rows), 6),
        "dropoff_longitude": np.round(drawn.normal(-87.65, 0.05, rows), 6),
        "trip_miles": miles,
        "pickup_census_tract": drawn.integers(0, 999, rows),
        "payment_type": np.array(_PAYMENTS)[payment],
        "company": np.array(_COMPANIES)[drawn.integers(0, len(_COMPANIES), rows)],
        "trip_seconds": (miles * drawn.normal(240, 40, rows).clip(60)).astype(int),
        "tips": np.round(fare * share, 2),
    }
    missing = {"dropoff_latitude", "dropoff_longitude", "pickup_census_tract"}
    return pa.table(
        {
            name: pa.array(values, mask=drawn.random(rows) < 0.01 if name in missing else None)
            for name, values in columns.items()
        }
    )


def main() -> None:
    """Writes the trips as data.csv in a directory."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--rows", required=True, type=int)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    table = taxi_rows(arguments.rows)
    # Not by pyarrow: it puts quotes around the names, which TFX takes for a part of them.
    with (arguments.output / "data.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, table.column_names)
        writer.writeheader()
        writer.writerows(table.to_pylist())


if __name__ == "__main__":
    main()
