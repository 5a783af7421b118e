"""prodml beside TFX 1.16.0: the same data, module file, steps and gate.

The flights pipeline, and at 15,000 rows the taxi trips of a module file in the shape of TFX's own
tutorial, all of `tf.keras`.

    tests/benchmarks/setup_peer.sh
    .venv/bin/python tests/benchmarks/run.py --rows 15000 --repeats 1

For each number of rows the systems take turns, each time in a fresh directory, and then again to
find everything in the cache. So what the machine does meanwhile is in all of them; still, nothing
else should run. What the systems do differently is said under the tables.
"""

from __future__ import annotations

import compileall
import json
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from measure import CommandFailed, Measurement
from rich.console import Console
from rich.table import Table
from systems import REPOSITORY, PipelineName, Prodml, System, Workload, run_fn_seconds, systems
from targets import Engine, Result, Row, target_rows

MIN_AUC = 0.6
TAXI_ROWS = 15_000


DIFFERENCES = """What differs, besides the engines:
- StatisticsGen counts distinct values with sketches in prodml, exactly in TFX and in "prodml as
  TFX".
- Examples are Parquet in prodml, gzipped TFRecord in TFX and in "prodml as TFX".
- prodml's environment leaves out the Google Cloud and notebook packages of Beam, TFDV and TFMA, and
  its bytecode is compiled when it is installed; TFX's is as pip installs it.
- InfraValidator is in neither: TFX's needs TensorFlow Serving's binary or image."""


class Name(StrEnum):
    PRODML = "prodml"
    AS_TFX = "prodml-as-tfx"
    TFX = "tfx"


ROWS = [15_000, 150_000, 1_000_000]
ALL = list(Name)


def main(
    rows: Annotated[list[int], typer.Option(help="How many flights; may be repeated.")] = ROWS,
    only: Annotated[list[Name], typer.Option(help="Measure this system; may be repeated.")] = ALL,
    repeats: Annotated[int, typer.Option(min=1, help="Runs each; medians count.")] = 5,
    train_steps: Annotated[int, typer.Option(min=1, help="Batches to train on.")] = 1000,
    work_dir: Annotated[
        Path, typer.Option(help="Scratch directory; results.json stays there.")
    ] = REPOSITORY / ".prodml" / "benchmarks",
) -> None:
    """Measures pipelines in prodml and in TFX 1.16.0, side by side."""
    console = Console()
    try:
        chosen = systems([str(name) for name in only])
    except FileNotFoundError as missing:
        raise typer.BadParameter(str(missing)) from None
    work_dir = work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    # As the peer's packages are, whether or not this environment lets Python write bytecode.
    for package in ("prodml", "components"):
        compileall.compile_dir(REPOSITORY / package, quiet=1)
    results = []
    try:
        for pipeline, count in [*(("flights", count) for count in rows), ("taxi", TAXI_ROWS)]:
            data_root = prepared(pipeline, count, work_dir)
            workload = Workload(pipeline, data_root, train_steps, MIN_AUC)
            console.print(f"{count:,} rows of {pipeline} ...", highlight=False)
            results += measured(chosen, count, workload, work_dir, repeats)
        engine = measured_engine(work_dir, repeats) if Name.PRODML in only else None
    except CommandFailed as failure:
        typer.echo(failure, err=True)
        raise typer.Exit(1) from None
    figures = target_rows(results, engine)
    console.print(targets_table(figures))
    for which in dict.fromkeys((result.pipeline, result.rows) for result in results):
        console.print(nodes_table(*which, [r for r in results if (r.pipeline, r.rows) == which]))
    console.print(DIFFERENCES, highlight=False, soft_wrap=True)
    path = work_dir / "results.json"
    path.write_text(json.dumps(document(results, engine, figures, train_steps), indent=2) + "\n")
    console.print(f"written to {path}", highlight=False)


def prepared(pipeline: PipelineName, rows: int, work_dir: Path) -> Path:
    """A data root with so many flights in span 1, or taxi trips; made once."""
    if pipeline == "taxi":
        data_root, made = work_dir / f"taxi-{rows}", "data.csv"
        prepare = REPOSITORY / "tests" / "tfx_modules" / "taxi_rows.py"
    else:
        data_root, made = work_dir / f"data-{rows}", "span-01/flights.csv"
        prepare = REPOSITORY / "examples" / "flights" / "prepare.py"
    if not (data_root / made).is_file():
        command = [sys.executable, str(prepare), "--output", str(data_root), "--rows", str(rows)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return data_root


def measured(
    systems: Sequence[System], rows: int, workload: Workload, work_dir: Path, repeats: int
) -> list[Result]:
    """A result for each system; they take turns."""
    turns = [_Turns(system, rows, workload, work_dir) for system in systems]
    for _ in range(repeats):
        for each in turns:
            each.run_cold()
    for each in turns:
        # The first one may evaluate against the model just blessed; those after are all cache.
        each.run_cached()
        each.cached.clear()
    for _ in range(repeats):
        for each in turns:
            each.run_cached()
    return [each.result() for each in turns]


class _Turns:
    """One system's runs of one workload."""

    def __init__(self, system: System, rows: int, workload: Workload, work_dir: Path) -> None:
        self._system, self._rows, self._workload = system, rows, workload
        self._run_dir = work_dir / f"{system.directory}-{rows}-{workload.pipeline}"
        self._cold: list[Measurement] = []
        self._nodes: list[Mapping[str, float]] = []
        self._run_fn: list[float] = []
        self.cached: list[Measurement] = []

    def run_cold(self) -> None:
        empty(self._run_dir)
        self._cold.append(self._system.run(self._workload, self._run_dir))
        self._nodes.append(self._system.node_seconds(self._run_dir))
        self._run_fn.append(run_fn_seconds(self._run_dir))

    def run_cached(self) -> None:
        self.cached.append(self._system.run(self._workload, self._run_dir))

    def result(self) -> Result:
        return Result(
            self._workload.pipeline,
            self._system.name,
            self._rows,
            median(self._cold),
            median(self.cached),
            statistics.median(self._run_fn),
            {name: statistics.median(n[name] for n in self._nodes) for name in self._nodes[0]},
        )


def measured_engine(work_dir: Path, repeats: int) -> Engine:
    """What the engine alone costs."""
    ours, run_dir = Prodml(), work_dir / "engine"

    def repeated(run: Callable[[], Measurement]) -> Measurement:
        return median([run() for _ in range(repeats)])

    def milliseconds_a_node(in_chain: bool) -> float:
        seconds = {}
        for nodes in (1, 100):
            empty(run_dir)
            seconds[nodes] = repeated(lambda n=nodes: ours.run_noop(n, in_chain, run_dir)).seconds
        return 1000 * (seconds[100] - seconds[1]) / 99

    chain, fan = milliseconds_a_node(True), milliseconds_a_node(False)
    return Engine(
        chain,
        fan,
        repeated(lambda: ours.command(["--help"], run_dir)).processor_seconds,
        repeated(lambda: ours.command(["runs"], run_dir)).processor_seconds,
    )


def empty(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()


def median(measurements: Sequence[Measurement]) -> Measurement:
    return Measurement(
        statistics.median(m.seconds for m in measurements),
        statistics.median(m.peak_mb for m in measurements),
        statistics.median(m.processor_seconds for m in measurements),
    )


def targets_table(rows: Sequence[Row]) -> Table:
    table = Table("", "prodml", "TFX 1.16.0", "ratio", "target", title="Targets")
    for row in rows:
        theirs = "" if row.theirs is None else f"{row.theirs:,.2f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        target = "" if row.target is None else f"<= {row.target:g}"
        table.add_row(row.what, f"{row.ours:,.2f}", theirs, ratio, target)
    return table


def nodes_table(pipeline: str, rows: int, results: Sequence[Result]) -> Table:
    """Seconds of each node; what ran beside another is in both."""
    table = Table(
        "", *[r.system for r in results], title=f"Nodes of {pipeline} at {rows:,} rows, seconds"
    )
    for name in dict.fromkeys(name for result in results for name in result.node_seconds):
        seconds = [result.node_seconds.get(name) for result in results]
        table.add_row(name, *["" if s is None else f"{s:,.2f}" for s in seconds])
    return table


def document(
    results: Sequence[Result], engine: Engine | None, rows: Sequence[Row], train_steps: int
) -> Mapping[str, object]:
    return {
        "machine": platform.platform(),
        "train_steps": train_steps,
        "targets": [{**asdict(row), "ratio": row.ratio} for row in rows],
        "engine": asdict(engine) if engine else None,
        "results": [asdict(result) for result in results],
    }


if __name__ == "__main__":
    typer.run(main)
