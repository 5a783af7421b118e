"""ML Metadata's gRPC service, and the round trips of a node to a distant database."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ml_metadata import errors, metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd
from support import warm
from support.database_servers import DatabaseServer
from support.latency_proxy import LatencyProxy, latency_proxy
from support.many_writers import write_with_many_processes
from support.silent import Silent

from prodml.compiler.compile import compile_pipeline
from prodml.dsl.user_code import load_module
from prodml.errors import MetadataUnavailableError
from prodml.metadata.connection import Connection, GrpcConnection
from prodml.metadata.service import serving
from prodml.metadata.store import Store
from prodml.orchestration.run import run_pipeline
from prodml.orchestration.settings import RunSettings

NOOP = Path(__file__).parents[2] / "benchmarks" / "noop_pipeline.py"
ROUND_TRIP_SECONDS = 0.02


@pytest.fixture
def service(tmp_path: Path) -> Iterator[int]:
    with serving(lambda: Store(str(tmp_path / "metadata.db")), "127.0.0.1", 0) as port:
        yield port


def round_trips_a_node(connection: Connection, proxy: LatencyProxy, root: Path) -> float:
    """The round trips per node in the most expensive of four runs.

    These are a first run, a cached run, a run whose cached artifacts were deleted by hand, and a
    run without the cache.
    """
    noop = load_module(str(NOOP)).noop

    def costs(nodes: int) -> list[int]:
        artifacts = root / str(nodes)
        settings = RunSettings(connection, str(artifacts), str(root / "logs"))
        spec = compile_pipeline(noop.build({"nodes": nodes, "in_chain": True}))
        # A separate name, so that the larger pipeline finds nothing of the smaller one.
        spec = dataclasses.replace(spec, name=f"noop{nodes}")
        found = []
        for state in ("complete", "cached", "complete", "complete"):
            if len(found) == 2:
                shutil.rmtree(artifacts)
            before = proxy.round_trips()
            use = dataclasses.replace(settings, use_cache=len(found) < 3)
            result = run_pipeline(spec, use, Silent())
            assert {str(node.state) for node in result.nodes} == {state}
            found.append(proxy.round_trips() - before)
        return found

    each = [(many - few) / 10 for few, many in zip(costs(2), costs(12), strict=True)]
    print(f"{connection}: {each} round trips a node")
    return max(each)


def test_a_node_needs_at_most_ten_round_trips_to_a_distant_service(
    tmp_path: Path, service: int
) -> None:
    with latency_proxy(service, ROUND_TRIP_SECONDS) as proxy:
        trips = round_trips_a_node(GrpcConnection("127.0.0.1", proxy.port), proxy, tmp_path)
    assert 1 <= trips <= 10


def test_a_node_needs_many_more_round_trips_to_a_distant_database(
    tmp_path: Path, server: DatabaseServer
) -> None:
    """The reason for the service; the figure is in docs/databases.md."""
    database = server.new_database()
    with latency_proxy(server.port, 0) as proxy:
        connection = server.connection(database, proxy.port)  # type: ignore[attr-defined]
        trips = round_trips_a_node(connection, proxy, tmp_path)
    assert trips > 10


def test_many_processes_write_through_the_service(service: int) -> None:
    write_with_many_processes(GrpcConnection("127.0.0.1", service))


def test_the_service_answers_clients_like_ml_metadatas_own_server(service: int) -> None:
    client = metadata_store.MetadataStore(
        mlmd.MetadataStoreClientConfig(host="127.0.0.1", port=service)
    )
    type_id = client.put_artifact_type(mlmd.ArtifactType(name="Thing"))
    (made,) = client.put_artifacts([mlmd.Artifact(type_id=type_id, name="one", uri="/one")])
    assert client.get_artifacts_by_uri("/one")[0].id == made
    with pytest.raises(errors.AlreadyExistsError):
        client.put_artifacts([mlmd.Artifact(type_id=type_id, name="one")])
    with pytest.raises(errors.NotFoundError):
        client.get_artifact_type("Nothing")


def test_an_unreachable_service_is_waited_for(tmp_path: Path) -> None:
    with (
        pytest.raises(MetadataUnavailableError, match="grpc://127.0.0.1:1 did not respond"),
    ):
        Store(GrpcConnection("127.0.0.1", 1), 0.2).context_type("x")


def test_the_command_serves_until_it_is_terminated(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "prodml", "metadata", "serve", "--port", "0"]
    with warm.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout.readline()
        assert output.startswith("serving .prodml/metadata.db on 127.0.0.1:")
        port = output.strip().rpartition(":")[2]
        environment = {**os.environ, "PRODML_METADATA__GRPC": f"{{host: 127.0.0.1, port: {port}}}"}
        run = [sys.executable, "-m", "prodml", "run", str(NOOP), "--param", "nodes=2"]
        run += ["--param", "in_chain=true"]
        ran = warm.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert (tmp_path / ".prodml" / "metadata.db").exists()
