"""A real Flink cluster: it starts, runs Beam pipelines and a component, and leaves nothing behind.

Run by `make flink-tests`. The name keeps it out of `make test`: the downloads are 400 MB.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import apache_beam as beam
import pytest
import tensorflow_data_validation as tfdv
from clusters.kinds import Kind
from clusters.lifecycle import environment_of, start_cluster, stop_cluster
from clusters.ports import PortInUseError
from clusters.services import Services
from support.beam_options import java_groups, record, recorded
from support.flight_rows import flight_examples
from support.listening import hosts_listened_on
from support.processes import wait_until_gone
from support.running import execute

from prodml.artifacts import Examples, ExampleStatistics
from prodml.beam.profiles import RunnerProfile
from prodml.components.statistics_gen.component import StatisticsGen
from prodml.config import load_config
from prodml.data.examples_layout import PayloadFormat
from prodml.dsl.channel import Channel

CONFIG = Path(__file__).parents[2] / "configs" / "flink.yaml"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clusters")


@pytest.fixture(scope="module")
def addresses(directory: Path) -> Iterator[Mapping[str, str]]:
    yield start_cluster(Kind.FLINK, directory, use_free_ports=True)
    stop_cluster(Kind.FLINK, directory)


@pytest.fixture(scope="module")
def profile(addresses: Mapping[str, str]) -> RunnerProfile:
    """The project's Flink profile, on the ports of this cluster."""
    config = load_config(str(CONFIG), environment_of(addresses))
    return config.run_settings(use_cache=False).runner


@pytest.fixture(scope="module")
def pids(addresses: Mapping[str, str], directory: Path) -> list[int]:
    return [service.pid for service in Services(directory / Kind.FLINK).services()]


def test_a_second_start_finds_the_running_cluster(
    addresses: Mapping[str, str], directory: Path
) -> None:
    assert start_cluster(Kind.FLINK, directory, use_free_ports=True) == addresses


def test_both_worker_pools_count_words(profile: RunnerProfile, tmp_path: Path) -> None:
    lines = [f"late flight {number % 7}" for number in range(700)]
    with profile.pipeline() as pipeline:
        (
            pipeline
            | beam.Create(lines)
            | beam.FlatMap(str.split)
            | beam.combiners.Count.PerElement()
            # A worker's parent is its pool. A lambda travels by value: no worker has this module.
            | beam.MapTuple(lambda word, count: f"{word} {count} {os.getppid()}")
            | beam.io.WriteToText(str(tmp_path / "counts"))
        )
    shards = (path.read_text() for path in tmp_path.glob("counts*"))
    found = [line.split() for shard in shards for line in shard.splitlines()]
    expected = {"late": "700", "flight": "700"} | {str(n): "100" for n in range(7)}
    assert {word: count for word, count, _ in found} == expected
    assert len({pool for _, _, pool in found}) == 2


def test_statistics_are_the_same_as_on_the_local_runner(
    profile: RunnerProfile, tmp_path: Path
) -> None:
    examples = flight_examples(tmp_path / "examples", PayloadFormat.PARQUET)
    component = StatisticsGen(examples=Channel(type=Examples))
    local, remote = (
        execute(component, {"examples": examples}, tmp_path, beam=each).output(
            "statistics", ExampleStatistics
        )
        for each in (RunnerProfile(), profile)
    )
    for split in ("train", "eval"):
        expected, found = (tfdv.load_stats_binary(a.stats_path(split)) for a in (local, remote))
        assert found == expected


def test_every_service_listens_on_loopback_only(pids: list[int]) -> None:
    assert all(host.startswith("127.") or host == "::1" for host in hosts_listened_on(pids))


def test_the_recorded_options_are_those_of_the_job_server(
    addresses: Mapping[str, str], pytestconfig: pytest.Config
) -> None:
    known = recorded()
    names = {name for name in known if name.startswith("java.") and "Spark" not in name}
    described = java_groups(addresses["job_endpoint"], names)
    if pytestconfig.getoption("--regenerate"):
        record(described)
    else:
        assert {name: known[name] for name in names} == described


def test_a_port_in_use_is_refused_and_nothing_is_left(
    addresses: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = int(addresses["job_endpoint"].rpartition(":")[2])
    monkeypatch.setattr("clusters.flink.PORTS", {"job": taken})
    with pytest.raises(PortInUseError, match=rf"port {taken} \(job\)"):
        start_cluster(Kind.FLINK, tmp_path, use_free_ports=False)
    assert stop_cluster(Kind.FLINK, tmp_path) == 0


def test_stop_leaves_no_process(directory: Path, pids: list[int]) -> None:
    assert stop_cluster(Kind.FLINK, directory) >= len(pids)
    wait_until_gone(pids)
