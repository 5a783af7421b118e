"""The large kill sweep: every point of the small pipeline, and many kills of flights.

    PYTHONPATH=tests .venv/bin/python tests/faults/kill_sweep.py --kills 200

Prints a table and writes what happened to build/kill-sweep.json; exits with 1 where an invariant
did not hold.
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
from faults.sweep import Trial, kill_often
from rich.console import Console
from rich.progress import track
from rich.table import Table

REPORT = Path("build/kill-sweep.json")


def main(
    kills: Annotated[int, typer.Option(help="Of flights, at points and random times.")] = 200,
    stride: Annotated[int, typer.Option(help="Every how many points of the small pipeline.")] = 1,
    jobs: Annotated[int, typer.Option(help="Trials at once.")] = 2,
) -> None:
    """Kills runs, resumes them, and checks that nothing is lost and nothing is there twice."""
    trials: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        trials += sweep_small(root / "small", stride, jobs)
        trials += sweep_flights(root / "flights", kills)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(trials, indent=1))
    print_table(trials)
    failures = [trial for trial in trials if trial["failure"]]
    for trial in failures:
        print(f"{trial['subject']}, killed {trial['kills']}: {trial['failure']}")
    sys.exit(1 if failures else 0)


def sweep_small(root: Path, stride: int, jobs: int) -> list[dict[str, Any]]:
    """A trial for each point; every second one is killed again while it is resumed."""
    (root / "unharmed").mkdir(parents=True)
    unharmed = small_trial(root / "unharmed")
    unharmed.complete()

    def at(number: int) -> dict[str, Any]:
        (root / str(number)).mkdir()
        trial = small_trial(root / str(number))

        def play() -> None:
            trial.kill(str(number))
            if number % 2:
                trial.kill(str(1 + number % 40))
            trial.complete()

        return outcome("small", trial, play)

    chosen = range(1, len(unharmed.points()) + 1, stride)
    with ThreadPoolExecutor(jobs) as pool:
        return list(track(pool.map(at, chosen), "the small pipeline", total=len(chosen)))


def sweep_flights(root: Path, kills: int) -> list[dict[str, Any]]:
    """Runs that are killed up to seven times each, in one place with one polling server."""
    found = []
    with FlightsTrials(root) as flights, typer.progressbar(length=kills, label="flights") as bar:
        left, seed = kills, 0
        while left > 0:
            trial = flights.trial(seed)
            play = functools.partial(kill_often, trial, seed, min(7, left))
            found.append(outcome("flights", trial, play))
            found[-1]["failure"] = found[-1]["failure"] or flights.failure(trial)
            left -= max(1, len(trial.kills))
            bar.update(max(1, len(trial.kills)))
            shutil.rmtree(trial.root, ignore_errors=True)
            seed += 1
        found[-1]["failure"] = found[-1]["failure"] or flights.server_failure()
    return found


def outcome(subject: str, trial: Trial, play: Callable[[], None]) -> dict[str, Any]:
    """What became of a trial."""
    failure = ""
    try:
        play()
    except AssertionError as error:
        failure = str(error) or repr(error)
    return {"subject": subject, "kills": [asdict(k) for k in trial.kills], "failure": failure}


def print_table(trials: list[dict[str, Any]]) -> None:
    """Kills by what was about to happen, and in how many trials something did not hold."""
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


def kind_of(point: str) -> str:
    """`at a random time`, `before rename`, `inside put_execution`, `after execution`."""
    first, *rest = point.split()
    if not rest:
        return "at a random time"
    return f"{first} execution of a node" if "execute" in point else f"{first} {rest[0]}"


if __name__ == "__main__":
    typer.run(main)
