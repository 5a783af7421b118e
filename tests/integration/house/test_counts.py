"""Counts what a run does, because a timed test would measure the machine."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.flights_with_gaps import flights, write_flights
from support.running import execute
from support.silent import Silent
from support.statistics_on_disk import write_schema

from prodml.artifacts import Examples, Schema
from prodml.beam import local_runner
from prodml.compiler.compile import compile_pipeline
from prodml.components.statistics_gen.component import StatisticsGen
from prodml.components.transform.component import Transform
from prodml.data import record_batches
from prodml.data.examples_layout import PayloadFormat
from prodml.dsl.channel import Channel
from prodml.dsl.user_code import load_module
from prodml.metadata.store import Store
from prodml.orchestration.ownership import liveness
from prodml.orchestration.resolve import fingerprint
from prodml.orchestration.run import run_pipeline
from prodml.orchestration.settings import RunSettings

ROOT = Path(__file__).parents[3]
STATISTICS_STEPS = 90
TRANSFORM_STEPS = 307
TRANSFORM_READS = 2
CALLS_PER_NODE = {
    "put_execution": 2,
    "get_context_by_type_and_name": 3,
    "get_artifacts_by_id": 1,
    # Two more in a first run than later: the directories of a node and its output are new.
    "fsync": 5,
}
READING = """
from prodml import Output, Parameter, component, pipeline
from prodml.artifacts import Schema
from prodml.dsl.parameters import FilePath

@component
def Read(made: Output[Schema], file: Parameter[FilePath] = ""):
    pass

@pipeline(name="reading")
def reading(file: str):
    for name in ("One", "Two"):
        Read(file=file).with_id(name)
"""
MODULE = str(Path(__file__).parents[2] / "support" / "flights_preprocessing.py")


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    splits = {"train": flights(0, 300), "eval": flights(300, 40)}
    return write_flights(tmp_path / "raw", PayloadFormat.PARQUET, splits)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collects the number of steps of each Beam pipeline."""
    counted: list[int] = []
    read = local_runner.steps_of

    def counting(pipeline: Any) -> Any:
        found = read(pipeline)
        assert isinstance(found, list), "a component's pipeline goes to Beam's slower runner"
        counted.append(len(found))
        return found

    monkeypatch.setattr(local_runner, "steps_of", counting)
    return counted


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts how often each split is read from its files."""
    counted: Counter[str] = Counter()
    read = record_batches._read_parquet

    def counting(file: str, *arguments: Any) -> Iterator[Any]:
        counted[Path(file).parent.name] += 1
        return read(file, *arguments)

    monkeypatch.setattr(record_batches, "_read_parquet", counting)
    return counted


def test_statistics_need_one_pass(
    tmp_path: Path, examples: Examples, steps: list[int], reads: Counter[str]
) -> None:
    execute(StatisticsGen(examples=Channel(type=Examples)), {"examples": examples}, tmp_path)
    assert reads == {"Split-train": 1, "Split-eval": 1}
    assert len(steps) == 1 and steps[0] <= STATISTICS_STEPS


def test_transform_needs_one_pass_per_phase_and_one_to_transform(
    tmp_path: Path, examples: Examples, steps: list[int], reads: Counter[str]
) -> None:
    import tensorflow_data_validation as tfdv

    frame = flights(0, 700).to_pandas()
    frame["air_time"] = frame["air_time"].astype("float32")
    schema = tfdv.infer_schema(tfdv.generate_statistics_from_dataframe(frame, n_jobs=1))
    steps.clear()
    node = Transform(
        examples=Channel(type=Examples), schema=Channel(type=Schema), module_file=MODULE
    )
    written = write_schema(tmp_path / "schema", schema)
    execute(node, {"examples": examples, "schema": written}, tmp_path)
    assert reads == {"Split-train": TRANSFORM_READS, "Split-eval": 1}
    assert len(steps) == 1 and steps[0] <= TRANSFORM_STEPS


class CountingStore:
    """Counts the calls of an ML Metadata store by name."""

    def __init__(self, store: Any, calls: Counter[str]) -> None:
        self._store = store
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        self._calls[name] += 1
        return getattr(self._store, name)


@pytest.mark.parametrize("in_chain", [True, False])
def test_the_calls_per_node_do_not_grow_with_the_number_of_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_chain: bool
) -> None:
    calls: Counter[str] = Counter()
    opened, sync = Store.__init__, os.fsync

    def counting_open(self: Store, *arguments: Any) -> None:
        opened(self, *arguments)
        self._mlmd = CountingStore(self._mlmd, calls)

    def counting_sync(descriptor: int) -> None:
        calls["fsync"] += 1
        sync(descriptor)

    monkeypatch.setattr(Store, "__init__", counting_open)
    monkeypatch.setattr(os, "fsync", counting_sync)
    # Without heartbeats, whose number depends on the speed of the machine.
    monkeypatch.setattr(liveness, "HEARTBEAT_SECONDS", 3600.0)
    noop = load_module(str(ROOT / "tests" / "benchmarks" / "noop_pipeline.py")).noop

    def calls_of(nodes: int) -> Counter[str]:
        calls.clear()
        root = tmp_path / str(nodes)
        settings = RunSettings(str(root / "store.db"), str(root / "artifacts"), str(root / "logs"))
        spec = compile_pipeline(noop.build({"nodes": nodes, "in_chain": in_chain}))
        run_pipeline(spec, settings, Silent())
        return Counter(calls)

    few, many = calls_of(5), calls_of(15)
    per_node = {name: (many[name] - few[name]) / 10 for name in many if many[name] != few[name]}
    assert per_node == CALLS_PER_NODE


def test_a_node_that_runs_reads_its_input_files_once_for_its_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pipeline.py").write_text(READING)
    (tmp_path / "data.csv").write_text("a,b")
    digested: list[str] = []
    digest = fingerprint.file_digest

    def counting(path: str) -> str:
        digested.append(path)
        return digest(path)

    monkeypatch.setattr(fingerprint, "file_digest", counting)
    definition = load_module(str(tmp_path / "pipeline.py")).reading
    spec = compile_pipeline(definition.build({"file": str(tmp_path / "data.csv")}))
    settings = RunSettings(str(tmp_path / "db"), str(tmp_path / "out"), str(tmp_path / "logs"))
    run_pipeline(spec, settings, Silent())
    assert digested == [str(tmp_path / "data.csv")] * 2
