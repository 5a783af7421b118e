"""The pipelines that are killed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from faults.sweep import Subject, Trial
from support import warm

ROOT = Path(__file__).parents[2]

SMALL = Subject(
    arguments=["small_pipeline.py"],
    links={
        "MakeSchema made schema": 1,
        "MakeSchema made notes": 1,
        "Train used schema": 1,
        "Train made model": 1,
        "Judge used model": 1,
        "Judge made blessing": 1,
        "Pusher used model": 1,
        "Pusher used model_blessing": 1,
        "Pusher made pushed_model": 1,
    },
    serving="serving",
    random_seconds=0.8,
    libraries=warm.WITHOUT_TENSORFLOW,
)


def small_trial(root: Path) -> Trial:
    shutil.copy(Path(__file__).with_name("small_pipeline.py"), root)
    return Trial(SMALL, root)


def flights(data_root: Path, serving: Path, links: dict[str, int]) -> Subject:
    """The flights pipeline at the size of a sample.

    Args:
        data_root: prepared flights.
        serving: directory that all runs push to.
        links: as a complete run has them.
    """
    parameters: dict[str, object] = {"data_root": data_root, "serving_dir": serving, "months": 1}
    parameters |= {"train_steps": 20, "min_auc": 0.01}
    given = [f"--param={name}={value}" for name, value in parameters.items()]
    return Subject(
        arguments=[str(ROOT / "pipelines" / "flights.py"), *given],
        links=links,
        serving=str(serving),
        random_seconds=6.0,
        libraries=warm.TENSORFLOW,
    )


def prepare_flights(directory: Path) -> Path:
    """One month's flights, every fifteenth: some 1,800 rows."""
    prepare = ROOT / "examples" / "flights" / "prepare.py"
    whole = directory / "whole"
    command = [sys.executable, prepare, "--output", whole, "--months", "1"]
    warm.run(command, check=True, capture_output=True)
    for month in whole.iterdir():
        header, *rows = (month / "flights.csv").read_text().splitlines(keepends=True)
        target = directory / "data" / month.name
        target.mkdir(parents=True)
        (target / "flights.csv").write_text("".join([header, *rows[::15]]))
    return directory / "data"
