"""prodml beside TFX 1.16.0: the flights pipeline, the same data, module file, steps and gate.

    tests/benchmarks/setup_peer.sh
    .venv/bin/python tests/benchmarks/run.py --rows 15000

Each number of rows is run in a fresh directory by one system after the other, then once more to
find everything in the cache. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import json
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from measure import CommandFailed, Measurement
from rich.console import Console
from rich.table import Table
from systems import REPOSITORY, System, Workload, systems

MIN_AUC = 0.6


class Name(StrEnum):
    PRODML = "prodml"
    TFX = "tfx"


ROWS = [15_000, 150_000, 1_000_000]
BOTH = [Name.PRODML, Name.TFX]


@dataclass(frozen=True)
class Result:
    """One system's figures for one number of rows: medians over the repeats."""

    system: str
    rows: int
    cold: Measurement
    cached: Measurement
    node_seconds: Mapping[str, float]


def main(
    rows: Annotated[list[int], typer.Option(help="How many flights; may be repeated.")] = ROWS,
    only: Annotated[list[Name], typer.Option(help="Measure this system; may be repeated.")] = BOTH,
    repeats: Annotated[int, typer.Option(min=1, help="Cold runs each; the median counts.")] = 1,
    train_steps: Annotated[int, typer.Option(min=1, help="Batches of 512 to train on.")] = 1000,
    work_dir: Annotated[
        Path, typer.Option(help="Scratch directory; results.json stays there.")
    ] = REPOSITORY / ".prodml" / "benchmarks",
) -> None:
    """Measures the flights pipeline in prodml and in TFX 1.16.0, side by side."""
    console = Console()
    try:
        chosen = systems([str(name) for name in only])
    except FileNotFoundError as missing:
        raise typer.BadParameter(str(missing)) from None
    work_dir = work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    results = []
    for count in rows:
        workload = Workload(prepared(count, work_dir), train_steps, MIN_AUC)
        for system in chosen:
            console.print(f"{system.name}, {count:,} rows ...", highlight=False)
            try:
                results.append(measured(system, count, workload, work_dir, repeats))
            except CommandFailed as failure:
                typer.echo(failure, err=True)
                raise typer.Exit(1) from None
    helps = {system.name: system.help(work_dir) for system in chosen}
    for title, cells in totals(results, helps):
        console.print(cells_table(title, cells, [system.name for system in chosen]))
    path = work_dir / "results.json"
    path.write_text(json.dumps(document(results, helps, train_steps), indent=2) + "\n")
    console.print(f"written to {path}", highlight=False)


def prepared(rows: int, work_dir: Path) -> Path:
    """A data root with so many flights in span 1; made once."""
    data_root = work_dir / f"data-{rows}"
    if not (data_root / "span-01" / "flights.csv").is_file():
        prepare = REPOSITORY / "examples" / "flights" / "prepare.py"
        command = [sys.executable, str(prepare), "--output", str(data_root), "--rows", str(rows)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return data_root


def measured(system: System, rows: int, workload: Workload, work_dir: Path, repeats: int) -> Result:
    cold, nodes = [], []
    run_dir = work_dir / f"{system.name.split()[0].lower()}-{rows}"
    for _ in range(repeats):
        shutil.rmtree(run_dir, ignore_errors=True)
        run_dir.mkdir()
        cold.append(system.run(workload, run_dir))
        nodes.append(system.node_seconds(run_dir))
    # The first run again may evaluate against the model just blessed; the one after is all cache.
    system.run(workload, run_dir)
    cached = system.run(workload, run_dir)
    return Result(
        system.name,
        rows,
        median(cold),
        cached,
        {name: statistics.median(n[name] for n in nodes) for name in nodes[0]},
    )


def median(measurements: Sequence[Measurement]) -> Measurement:
    return Measurement(
        statistics.median(m.seconds for m in measurements),
        statistics.median(m.peak_mb for m in measurements),
    )


Cells = Mapping[str, Mapping[str, float]]
"""Figures by row label and system name."""


def totals(results: Sequence[Result], helps: Mapping[str, Measurement]) -> list[tuple[str, Cells]]:
    """Every table: its title, and its figures."""

    def by_rows(figure: Callable[[Result], float]) -> Cells:
        counts = dict.fromkeys(result.rows for result in results)
        return {
            f"{rows:,} rows": {r.system: figure(r) for r in results if r.rows == rows}
            for rows in counts
        }

    tables = [
        ("Whole run, seconds", by_rows(lambda r: r.cold.seconds)),
        ("Whole run, peak MiB", by_rows(lambda r: r.cold.peak_mb)),
        ("All cached, seconds", by_rows(lambda r: r.cached.seconds)),
        ("--help, seconds", {"": {name: m.seconds for name, m in helps.items()}}),
    ]
    for rows in dict.fromkeys(result.rows for result in results):
        of_rows = [result for result in results if result.rows == rows]
        nodes = dict.fromkeys(name for result in of_rows for name in result.node_seconds)
        cells = {
            node: {r.system: r.node_seconds[node] for r in of_rows if node in r.node_seconds}
            for node in nodes
        }
        tables.append((f"Nodes at {rows:,} rows, seconds", cells))
    return tables


def cells_table(title: str, cells: Cells, names: Sequence[str]) -> Table:
    """One table: a column a system and, where there are two, how many times less ours is."""
    table = Table("", *names, title=title, title_justify="left")
    if len(names) == 2:
        table.add_column("ratio")
    for label, by_system in cells.items():
        figures = [by_system.get(name) for name in names]
        texts = ["" if figure is None else f"{figure:,.2f}" for figure in figures]
        if len(names) == 2:
            ours, theirs = figures
            texts.append(f"{theirs / ours:.1f}x" if ours and theirs else "")
        table.add_row(label, *texts)
    return table


def document(
    results: Sequence[Result], helps: Mapping[str, Measurement], train_steps: int
) -> Mapping[str, object]:
    return {
        "machine": platform.platform(),
        "train_steps": train_steps,
        "help": {name: asdict(measurement) for name, measurement in helps.items()},
        "results": [asdict(result) for result in results],
    }


if __name__ == "__main__":
    typer.run(main)
