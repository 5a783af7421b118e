"""Prism, Beam's own runner in Go, on loopback, and a worker pool.

Prism starts one worker for all stages of a job, so a second pool would never be used.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from clusters.downloads import DownloadError, run_client
from clusters.job_server import missing_job_service
from clusters.pins import Pins
from clusters.pools import HOSTS, start_pools, wait_for_pools
from clusters.services import Services

PORTS = {"job": 8073, "pool": 50200}

_MODULE = Path(__file__).with_name("prism_build")
_BEAM = "github.com/apache/beam/sdks/v2"
_SERVER = "go/pkg/beam/runners/prism/internal/jobservices/server.go"
_ALL_INTERFACES, _LOOPBACK = 'fmt.Sprintf(":%d", port)', 'fmt.Sprintf("localhost:%d", port)'


def install(pins: Pins, directory: Path) -> None:
    """Builds Prism from the Go modules that prism_build/go.sum pins, so that it uses loopback.

    Prism has no option for the interface and listens on all of them, so the one line that does so
    is changed in a copy of its source.
    """
    source = directory / "source"
    shutil.copytree(_MODULE, source)
    run_client(["go", "mod", "vendor"], source)
    server = source / "vendor" / _BEAM / _SERVER
    text = server.read_text()
    if text.count(_ALL_INTERFACES) != 1:
        raise DownloadError(f"{server} listens in another way than {_ALL_INTERFACES}")
    server.write_text(text.replace(_ALL_INTERFACES, _LOOPBACK))
    jobs = str(max(1, (os.cpu_count() or 2) // 2))
    prism = ["-o", str(directory / "prism"), f"{_BEAM}/go/cmd/prism"]
    run_client(["go", "build", "-mod=vendor", "-p", jobs, *prism], source)
    shutil.rmtree(source)


def start(
    services: Services, installed: Path, directory: Path, ports: Mapping[str, int]
) -> dict[str, str]:
    """Starts Prism and a worker pool, and waits until they are ready.

    Args:
        services: the record of the processes.
        installed: directory of `install`.
        directory: not used.
        ports: a port for each name in `PORTS`.

    Returns:
        The pipeline options that choose this cluster.

    Raises:
        ClusterError: a process ended or did not become ready.
    """
    endpoint = f"localhost:{ports['job']}"
    prism = services.start(
        "prism",
        [
            *(str(installed / "prism"), f"--job_port={ports['job']}"),
            *("--serve_http=false", "--log_kind=text"),
        ],
    )
    pools = start_pools(services, ports["pool"], HOSTS[:1])
    services.wait_until([prism], lambda: missing_job_service(endpoint), 60)
    wait_for_pools(services, pools, ports["pool"], HOSTS[:1])
    return {"job_endpoint": endpoint, "environment_config": f"{HOSTS[0]}:{ports['pool']}"}
