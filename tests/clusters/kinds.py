"""The kinds of clusters, and the module of each."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from clusters import flink, prism, spark
from clusters.pins import Pins
from clusters.services import Services


class Kind(StrEnum):
    """A kind of cluster."""

    FLINK = "flink"
    SPARK = "spark"
    PRISM = "prism"


class Cluster(Protocol):
    """What the module of each kind has."""

    PORTS: Mapping[str, int]

    def install(self, pins: Pins, directory: Path) -> None: ...

    def start(
        self, services: Services, installed: Path, directory: Path, ports: Mapping[str, int]
    ) -> dict[str, str]: ...


MODULES: Mapping[Kind, Cluster] = {Kind.FLINK: flink, Kind.SPARK: spark, Kind.PRISM: prism}
