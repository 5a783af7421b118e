"""Two worker pools, one for each task manager, as sidecars of a real cluster are.

A job has one address of its pool, `worker-pool:PORT`. Each task manager resolves the name by a
hosts file of its own (a property of the JVM), to another address of loopback.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import grpc
from clusters.services import Service, Services

NAME = "worker-pool"
HOSTS = ("127.0.0.1", "127.0.0.2")
"""The pools' addresses: Linux answers on all of 127.0.0.0/8."""

_TESTS = Path(__file__).parents[1]


def start_pools(services: Services, port: int, hosts: Sequence[str] = HOSTS) -> list[Service]:
    """Starts a worker pool of this Python on each host."""
    environment = {"PYTHONPATH": str(_TESTS), **_ENVIRONMENT}
    pool = [sys.executable, "-m", "clusters.worker_pool"]
    return [
        services.start(f"pool-{number}", [*pool, host, str(port)], environment)
        for number, host in enumerate(hosts, start=1)
    ]


def wait_for_pools(
    services: Services, pools: Sequence[Service], port: int, hosts: Sequence[str] = HOSTS
) -> None:
    """Waits until each pool answers."""
    for pool, host in zip(pools, hosts, strict=True):
        services.wait_until([pool], lambda host=host: _missing(host, port), 60)


def hosts_file(directory: Path, number: int) -> str:
    """Writes the hosts file of a task manager or Spark worker; returns the option of its JVM.

    Args:
        directory: directory of the file.
        number: 0 for the first pool, 1 for the second.
    """
    file = directory / f"hosts-{number + 1}"
    file.write_text(
        f"127.0.0.1 localhost {socket.gethostname()}\n{HOSTS[number]} {NAME}\n", encoding="utf-8"
    )
    return f"-Djdk.net.hosts.file={file}"


def _missing(host: str, port: int) -> str | None:
    # Imported late: Beam takes seconds, in which the cluster's processes start.
    from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

    with grpc.insecure_channel(f"{host}:{port}") as channel:
        pool = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)
        try:
            pool.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id="none"), timeout=5)
        except grpc.RpcError as error:
            return str(error.details())
    return None


_ENVIRONMENT: Mapping[str, str] = {
    # The workers share this machine's cores with everything else.
    "OMP_NUM_THREADS": "1",
    # What the coordinator sets for `keras: tf_keras`, the default.
    "TF_USE_LEGACY_KERAS": os.environ.get("TF_USE_LEGACY_KERAS", "1"),
    "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
}
