"""How a store with many runs answers what runs and commands ask, beside one with a few.

.venv/bin/python tests/benchmarks/many_runs.py --runs 10000
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from prodml.artifacts import Model, ModelBlessing
from prodml.metadata.leases import LeaseTable
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import Attempt, RunState, State
from prodml.metadata.run_writing import RunWriter
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.ownership.liveness import new_holder

FEW = 20


def main(
    runs: Annotated[int, typer.Option(min=1, help="Earlier runs in the larger store.")] = 10_000,
    repeats: Annotated[int, typer.Option(min=1, help="Questions of each kind.")] = 50,
) -> None:
    """Fills two SQLite stores and times the same questions to both, in milliseconds."""
    with tempfile.TemporaryDirectory() as directory:
        small = _questions(_filled(f"{directory}/small.db", FEW), FEW)
        large = _questions(_filled(f"{directory}/large.db", runs), runs)
        print(f"{'':24}{FEW:>10,} runs {runs:>10,} runs      ratio")
        for name in small:
            few, many = _median(small[name], repeats), _median(large[name], repeats)
            print(f"{name:24}{few:12.2f} ms {many:12.2f} ms {many / few:10.1f}")


def _filled(path: str, runs: int) -> Store:
    store = Store(path)
    run_writer = RunWriter(store)
    writer, leases, holder = LineageWriter(store), LeaseTable(store), new_holder()
    for number in range(runs):
        run = f"run-{number}"
        lease = leases.acquire("flights", number + 1, run, holder)
        assert lease is not None
        run_writer.begin_run("flights", run, "{}", lease.id)
        trainer = Attempt("flights", run, "Trainer", "Trainer")
        execution = writer.begin_execution(trainer, {}, {}, [f"key-{number}"])
        made: dict[str, Any] = {
            "model": [Model(final_uri=f"/models/{number}")],
            "blessing": [ModelBlessing(final_uri=f"/blessings/{number}")],
        }
        writer.complete_execution(execution, {}, made)
        evaluator = Attempt("flights", run, "Evaluator", "Evaluator")
        writer.record_existing(evaluator, State.CACHED, {}, {}, {})
        run_writer.end_run(run, RunState.COMPLETE)
        leases.release(lease)
        if number % 1000 == 999:
            print(f"{number + 1:,} runs written", flush=True)
    return store


def _questions(store: Store, runs: int) -> Mapping[str, Callable[[], object]]:
    reader, leases = LineageReader(store), LeaseTable(store)
    return {
        "cache hit": lambda: reader.cached_executions(f"key-{runs // 2}"),
        "cache miss": lambda: reader.cached_executions("no such key"),
        "reason for a miss": lambda: reader.last_completed("flights", "Trainer"),
        "latest model": lambda: next(reader.newest_artifacts("flights", "Model")),
        "latest 20 blessings": lambda: [
            artifact
            for artifact, _ in zip(
                reader.newest_artifacts("flights", "ModelBlessing"), range(20), strict=False
            )
        ],
        "pinned baseline": lambda: reader.pinned_model("flights"),
        "lease": lambda: leases.newest("flights"),
        "runs that are running": lambda: reader.runs_in_state(RunState.RUNNING),
        "newest 20 runs": lambda: reader.runs(20),
        "newest 20 of a pipeline": lambda: reader.runs(20, "flights"),
        "executions of a run": lambda: reader.executions_of_run(f"run-{runs // 2}"),
    }


def _median(ask: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        ask()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


if __name__ == "__main__":
    typer.run(main)
