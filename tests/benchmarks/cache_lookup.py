"""How long the cache takes to answer with many earlier runs in the store.

.venv/bin/python tests/benchmarks/cache_lookup.py --runs 10000
"""

from __future__ import annotations

import statistics
import tempfile
import time
from typing import Annotated

import typer

from prodml.artifacts import Model
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import RunState
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter


def main(
    runs: Annotated[int, typer.Option(min=1, help="Earlier runs in the store.")] = 10_000,
    repeats: Annotated[int, typer.Option(min=1, help="Look-ups of each kind.")] = 50,
) -> None:
    """Fills a SQLite store and times what a run asks of it, in milliseconds."""
    with tempfile.TemporaryDirectory() as directory:
        store = Store(f"{directory}/metadata.db")
        writer, reader = LineageWriter(store), LineageReader(store)
        for number in range(runs):
            run = f"run-{number}"
            writer.begin_run("flights", run, "{}")
            execution = writer.begin_execution("flights", run, "Trainer", "Trainer", {}, {})
            artifact = Model(final_uri=f"/models/{number}")
            outputs = {"model": [(run, artifact)]}
            writer.complete_execution(execution, {}, outputs, [f"key-{number}"])
            writer.end_run(run, RunState.COMPLETE)
            if number % 1000 == 999:
                print(f"{number + 1:,} runs written", flush=True)
        questions = {
            "cache hit": lambda: reader.cached_executions(f"key-{runs // 2}"),
            "cache miss": lambda: reader.cached_executions("no such key"),
            "reason for a miss": lambda: reader.last_completed("flights", "Trainer"),
            "latest model": lambda: next(reader.newest_artifacts("flights", "Model")),
            "prodml runs": lambda: reader.runs(20),
        }
        for name, ask in questions.items():
            times = []
            for _ in range(repeats):
                started = time.perf_counter()
                ask()
                times.append((time.perf_counter() - started) * 1000)
            print(f"{name}: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms")


if __name__ == "__main__":
    typer.run(main)
