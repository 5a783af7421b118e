"""Installs, starts and stops clusters on this machine; used by `make flink` and its siblings.

PYTHONPATH=tests .venv/bin/python -m clusters start flink
PYTHONPATH=tests .venv/bin/python -m clusters stop flink
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from clusters.downloads import DownloadError, fetch_jars
from clusters.kinds import Kind
from clusters.lifecycle import DIRECTORY, environment_of, start_cluster, stop_cluster
from clusters.pins import ChecksumError, read_pins, write_jars
from clusters.ports import PortInUseError
from clusters.services import ClusterError

app = typer.Typer(add_completion=False, no_args_is_help=True)

Directory = Annotated[
    Path, typer.Option(help="Directory of state and logs; another one is another cluster.")
]


@app.command()
def start(
    kind: Kind,
    directory: Directory = DIRECTORY,
    free_ports: Annotated[
        bool, typer.Option("--free-ports", help="Use free ports instead of those of configs/.")
    ] = False,
) -> None:
    """Installs a cluster if necessary, starts it, and waits until it is ready."""
    addresses = start_cluster(kind, directory, free_ports)
    print(f"{kind} is ready; stop it with: make {kind}-stop")
    for name, address in addresses.items():
        print(f"  {name}: {address}")
    if free_ports:
        print("to run pipelines on it with these ports:")
        for variable, value in environment_of(addresses).items():
            print(f"  export {variable}={value}")


@app.command()
def stop(kind: Kind, directory: Directory = DIRECTORY) -> None:
    """Ends all processes of a cluster."""
    count = stop_cluster(kind, directory)
    print(f"{kind}: ended {count} processes" if count else f"{kind} was not running")


@app.command()
def pin() -> None:
    """Fetches the pinned versions of Beam's runners, and writes the checksums of their jars."""
    pins = read_pins()
    with tempfile.TemporaryDirectory() as directory:
        found = [
            jar
            for runner in ("beam-flink", "beam-spark")
            for jar in fetch_jars(pins.versions[runner], pins, Path(directory) / runner)
        ]
        write_jars(found)


def main() -> None:
    try:
        app()
    except (ChecksumError, ClusterError, DownloadError, PortInUseError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
