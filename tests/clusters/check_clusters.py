"""Real clusters: each starts, runs Beam pipelines and a component, and leaves nothing behind.

Run by `make flink-tests`, `make spark-tests` and `make prism-tests`. The name keeps it out of
`make test`: the downloads are 600 MB.
"""

from __future__ import annotations

import _thread
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import apache_beam as beam
import grpc
import pytest
import tensorflow_data_validation as tfdv
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from clusters.kinds import MODULES, Kind
from clusters.lifecycle import environment_of, start_cluster, stop_cluster
from clusters.ports import PortInUseError
from clusters.services import Service, Services
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

CONFIGS = Path(__file__).parents[2] / "configs"
POOLS = {Kind.FLINK: 2, Kind.SPARK: 2, Kind.PRISM: 1}


@pytest.fixture(scope="module", params=list(Kind))
def kind(request: pytest.FixtureRequest) -> Kind:
    return Kind(request.param)


@pytest.fixture(scope="module")
def directory(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(kind)


@pytest.fixture(scope="module")
def addresses(kind: Kind, directory: Path) -> Iterator[Mapping[str, str]]:
    yield start_cluster(kind, directory, use_free_ports=True)
    stop_cluster(kind, directory)


@pytest.fixture(scope="module")
def profile(kind: Kind, addresses: Mapping[str, str]) -> RunnerProfile:
    """The project's profile for the cluster, on the ports of this one."""
    config = load_config(str(CONFIGS / f"{kind}.yaml"), environment_of(addresses))
    return config.run_settings(use_cache=False).runner


@pytest.fixture(scope="module")
def services(kind: Kind, addresses: Mapping[str, str], directory: Path) -> list[Service]:
    return Services(directory / kind).services()


@pytest.fixture(scope="module")
def pids(services: list[Service]) -> list[int]:
    return [service.pid for service in services]


@pytest.fixture(scope="module")
def pools(services: list[Service]) -> list[int]:
    return [service.pid for service in services if service.name.startswith("pool-")]


def test_a_second_start_finds_the_running_cluster(
    kind: Kind, addresses: Mapping[str, str], directory: Path
) -> None:
    assert start_cluster(kind, directory, use_free_ports=True) == addresses


def test_every_worker_pool_counts_words(kind: Kind, profile: RunnerProfile, tmp_path: Path) -> None:
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
    assert len({pool for _, _, pool in found}) == POOLS[kind]


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


# Spark is left out: Beam's job server reports a cancelled job, and Spark runs it to its end.
@pytest.mark.parametrize("kind", [Kind.FLINK, Kind.PRISM], indirect=True)
def test_an_interrupted_job_ends_on_the_cluster(
    profile: RunnerProfile, addresses: Mapping[str, str], pools: list[int], tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    interrupt = threading.Thread(target=_interrupt_when_there, args=[begun])
    interrupt.start()
    # A lambda travels by value: no worker has this module.
    last_long = lambda _: (begun.touch(), time.sleep(600))  # noqa: E731
    with pytest.raises(KeyboardInterrupt), profile.pipeline() as pipeline:
        _ = pipeline | beam.Create(range(4)) | beam.Map(last_long)
    interrupt.join()
    assert "CANCELLED" in _states(addresses["job_endpoint"])
    deadline = time.monotonic() + 60
    while left := _workers(pools):
        assert time.monotonic() < deadline, f"{len(left)} workers are left"
        time.sleep(0.5)


def _interrupt_when_there(file: Path) -> None:
    while not file.exists():
        time.sleep(0.2)
    _thread.interrupt_main()


def _workers(pools: list[int]) -> list[str]:
    """The processes that pools have started."""
    children = (Path(f"/proc/{pid}/task").glob("*/children") for pid in pools)
    return [worker for files in children for file in files for worker in file.read_text().split()]


def _states(endpoint: str) -> list[str]:
    with grpc.insecure_channel(endpoint) as channel:
        service = beam_job_api_pb2_grpc.JobServiceStub(channel)
        jobs = service.GetJobs(beam_job_api_pb2.GetJobsRequest(), timeout=30).job_info
    return [beam_job_api_pb2.JobState.Enum.Name(job.state) for job in jobs]


def test_every_service_listens_on_loopback_only(pids: list[int]) -> None:
    assert all(host.startswith("127.") or host == "::1" for host in hosts_listened_on(pids))


def test_the_recorded_options_are_those_of_the_job_server(
    kind: Kind, addresses: Mapping[str, str], pytestconfig: pytest.Config
) -> None:
    known = recorded()
    # Prism describes none, and each of the others does not have those of the other runner.
    foreign = {Kind.FLINK: "Spark", Kind.SPARK: "Flink", Kind.PRISM: ""}[kind]
    names = {name for name in known if name.startswith("java.") and foreign not in name}
    described = java_groups(addresses["job_endpoint"], names)
    if pytestconfig.getoption("--regenerate"):
        record(described)
    else:
        assert {name: known[name] for name in names} == described


def test_a_port_in_use_is_refused_and_nothing_is_left(
    kind: Kind, addresses: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = int(addresses["job_endpoint"].rpartition(":")[2])
    monkeypatch.setattr(MODULES[kind], "PORTS", {"job": taken})
    with pytest.raises(PortInUseError, match=rf"port {taken} \(job\)"):
        start_cluster(kind, tmp_path, use_free_ports=False)
    assert stop_cluster(kind, tmp_path) == 0


def test_stop_leaves_no_process(kind: Kind, directory: Path, pids: list[int]) -> None:
    assert stop_cluster(kind, directory) >= len(pids)
    wait_until_gone(pids)
