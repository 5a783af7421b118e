"""Installs, starts and stops a cluster: each is done once, and nothing is left after a failure."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from clusters.kinds import MODULES, Kind
from clusters.pins import read_pins
from clusters.ports import check_ports, free_ports
from clusters.services import Services
from filelock import FileLock

DIRECTORY = Path(__file__).parents[2] / "build" / "clusters"
"""The directory of the clusters of `make`, and of all installations."""

_SOURCE = Path(__file__).parent


def start_cluster(kind: Kind, directory: Path, use_free_ports: bool) -> dict[str, str]:
    """Starts a cluster that is not running; installs it if necessary.

    Args:
        kind: the kind of cluster.
        directory: directory of state and logs; another one is another cluster.
        use_free_ports: whether to use free ports instead of those in `configs`.

    Returns:
        The cluster's addresses.

    Raises:
        PortInUseError: a port is in use.
        DownloadError, ChecksumError: the cluster could not be installed.
        ClusterError: a process ended or did not become ready; all were ended.
    """
    place = directory.resolve() / kind
    module = MODULES[kind]
    with _lock(place):
        services = Services(place)
        addresses = services.addresses()
        if addresses is not None:
            return addresses
        with _lock(DIRECTORY / "installed"):
            installed = _installed(kind)
        services.begin()
        try:
            ports = free_ports(module.PORTS) if use_free_ports else dict(module.PORTS)
            check_ports(ports)
            addresses = module.start(services, installed, place, ports)
        except BaseException:
            services.stop()
            raise
        services.publish(addresses)
        return addresses


def stop_cluster(kind: Kind, directory: Path) -> int:
    """Ends all processes of a cluster; returns how many there were."""
    place = directory.resolve() / kind
    with _lock(place):
        return Services(place).stop()


def environment_of(addresses: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables that replace the addresses of a file in `configs`."""
    names = ("job_endpoint", "environment_config", "flink_master")
    return {
        f"PRODML_RUNNER__OPTIONS__{name.upper()}": addresses[name]
        for name in names
        if name in addresses
    }


def _installed(kind: Kind) -> Path:
    """The directory of an installation, named by what it was made of."""
    digest = hashlib.sha256()
    sources = ("*.toml", "*.java", "prism_build/*", f"{kind}.py")
    for file in sorted(file for source in sources for file in _SOURCE.glob(source)):
        digest.update(file.read_bytes())
    final = DIRECTORY / "installed" / f"{kind}-{digest.hexdigest()[:12]}"
    if not final.exists():
        new = final.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        MODULES[kind].install(read_pins(), new)
        new.rename(final)
    return final


def _lock(place: Path) -> FileLock:
    place.mkdir(parents=True, exist_ok=True)
    return FileLock(place / "lock", timeout=1200)
