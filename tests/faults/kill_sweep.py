"""The large kill sweep: every point of the small pipeline, and many kills of flights.

    PYTHONPATH=tests .venv/bin/python tests/faults/kill_sweep.py --kills 200

Prints a table, and writes what happened to build/kill-sweep.json after each trial: Ctrl-C loses
nothing but the trial that it meets. Exits with 1 where an invariant did not hold.
"""

from __future__ import annotations

import functools
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from faults.flights import FlightsTrials
from faults.subjects import small_trial
from faults.sweep import Trial, kill_at_point, kill_often, kind_of
from rich.console import Console
from rich.progress import track
from rich.table import Table

REPORT = Path("build/kill-sweep.json")


def main(
    kills: Annotated[
        int, typer.Option(help="Of flights, at points and random times; 0: none.")
    ] = 200,
    stride: Annotated[
        int, typer.Option(help="Every how many points of the small pipeline; 0: none.")
    ] = 1,
    jobs: Annotated[int, typer.Option(help="Trials at once.")] = 2,
) -> None:
    """Kills runs, resumes them, and checks that nothing is lost or duplicated."""
    report = Report()
    try:
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory)
            if stride:
                sweep_small(root / "small", stride, jobs, report)
            if kills:
                sweep_flights(root / "flights", kills, report)
    finally:
        print_table(report.trials)
    failures = [trial for trial in report.trials if trial["failure"]]
    for trial in failures:
        print(f"{trial['subject']}, killed {trial['kills']}: {trial['failure']}")
    sys.exit(1 if failures else 0)


class Report:
    """The results of the trials, written to a file after each trial."""

    def __init__(self) -> None:
        self.trials: list[dict[str, Any]] = []
        REPORT.parent.mkdir(exist_ok=True)

    def add(self, subject: str, trial: Trial, failure: str) -> None:
        kills = [asdict(kill) for kill in trial.kills]
        self.trials.append({"subject": subject, "kills": kills, "failure": failure})
        REPORT.write_text(json.dumps(self.trials, indent=1))


def sweep_small(root: Path, stride: int, jobs: int, report: Report) -> None:
    """Runs a trial for each point; every second trial is killed again while it is resumed."""
    (root / "unharmed").mkdir(parents=True)
    unharmed = small_trial(root / "unharmed")
    unharmed.complete()

    def at(number: int) -> tuple[Trial, str]:
        (root / str(number)).mkdir()
        trial = small_trial(root / str(number))
        return trial, failure_of(functools.partial(kill_at_point, trial, number))

    chosen = range(1, len(unharmed.points()) + 1, stride)
    with ThreadPoolExecutor(jobs) as pool:
        for trial, failure in track(pool.map(at, chosen), "the small pipeline", len(chosen)):
            report.add("small", trial, failure)


def sweep_flights(root: Path, kills: int, report: Report) -> None:
    """Runs that are killed up to seven times each, in one place with one polling server."""
    with FlightsTrials(root) as flights, typer.progressbar(length=kills, label="flights") as bar:
        left, seed = kills, 0
        while left > 0:
            trial = flights.trial(seed)
            play = functools.partial(kill_often, trial, seed, min(7, left), flights.points)
            failure = failure_of(play)
            failure = failure or flights.failure(trial) or flights.server_failure()
            report.add("flights", trial, failure)
            left -= max(1, len(trial.kills))
            bar.update(max(1, len(trial.kills)))
            shutil.rmtree(trial.root, ignore_errors=True)
            seed += 1


def failure_of(play: Callable[[], None]) -> str:
    """Why a trial failed; empty if it did not fail."""
    try:
        play()
    except Exception as error:
        return str(error) or repr(error)
    return ""


def print_table(trials: list[dict[str, Any]]) -> None:
    """Prints the number of kills, and of trials with a violated invariant, by kind of point."""
    times: Counter[tuple[str, str]] = Counter()
    failed: Counter[tuple[str, str]] = Counter()
    for trial in trials:
        for kill in trial["kills"]:
            kind = kind_of(kill["point"])
            times[trial["subject"], kind] += 1
            failed[trial["subject"], kind] += bool(trial["failure"])
    table = Table("subject", "killed", "times", "in failed trials", box=None)
    for (subject, kind), count in sorted(times.items()):
        table.add_row(subject, kind, str(count), str(failed[subject, kind]))
    Console(width=100).print(table)
    print(f"{sum(times.values())} kills in {len(trials)} trials")


if __name__ == "__main__":
    typer.run(main)
