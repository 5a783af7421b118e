"""The two systems under measurement: prodml, and TFX in its own environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from measure import Measurement, measure

REPOSITORY = Path(__file__).parents[2]
MODULE_FILE = REPOSITORY / "examples" / "flights" / "flights_utils.py"
BIN = Path(sys.executable).parent
PEER_BIN = REPOSITORY / ".venv-tfx" / "bin"


@dataclass(frozen=True)
class Workload:
    """What both systems are given.

    Attributes:
        data_root: directory with span-01/flights.csv.
        train_steps: batches of 512 to train on.
        min_auc: value threshold of the gate.
    """

    data_root: Path
    train_steps: int
    min_auc: float


class System(Protocol):
    """Runs the flights pipeline; a second run in the same directory finds the first's cache."""

    name: str

    def run(self, workload: Workload, work_dir: Path) -> Measurement: ...

    def node_seconds(self, work_dir: Path) -> Mapping[str, float]:
        """Seconds of each node of the latest run in the directory."""
        ...

    def help(self, work_dir: Path) -> Measurement: ...


class Prodml:
    """This project, through its command line."""

    name = "prodml"

    def run(self, workload: Workload, work_dir: Path) -> Measurement:
        parameters = {
            "data_root": workload.data_root,
            "train_steps": workload.train_steps,
            "min_auc": workload.min_auc,
            "months": 1,
            "serving_dir": work_dir / "serving",
        }
        command = [str(BIN / "prodml"), "run", "pipelines/flights.py"]
        command += ["--config", "configs/local.yaml", "--require-push"]
        for name, value in parameters.items():
            command += ["--param", f"{name}={value}"]
        taken = measure(command, work_dir / "run.log", REPOSITORY, self._environment(work_dir))
        # The engine restarts the kernel's peak for each node, and with it what wait4 reports.
        nodes_mb = [node["peak_memory"] / 2**20 for node in self._nodes(work_dir)]
        return Measurement(taken.seconds, max(taken.peak_mb, *nodes_mb))

    def node_seconds(self, work_dir: Path) -> Mapping[str, float]:
        return {node["node_id"]: node["seconds"] for node in self._nodes(work_dir)}

    def _nodes(self, work_dir: Path) -> list[dict[str, Any]]:
        shown = subprocess.run(
            [str(BIN / "prodml"), "show", "latest", "--json", "--config", "configs/local.yaml"],
            cwd=REPOSITORY,
            env={**os.environ, **self._environment(work_dir)},
            check=True,
            capture_output=True,
        )
        nodes: list[dict[str, Any]] = json.loads(shown.stdout)["nodes"]
        return nodes

    def help(self, work_dir: Path) -> Measurement:
        return measure([str(BIN / "prodml"), "--help"], work_dir / "help.log", REPOSITORY)

    def _environment(self, work_dir: Path) -> Mapping[str, str]:
        return {"PRODML_HOME": str(work_dir / "home")}


class Tfx:
    """TFX 1.16.0 with Beam in one process; see setup_peer.sh."""

    name = "TFX 1.16.0"

    def run(self, workload: Workload, work_dir: Path) -> Measurement:
        command = [str(PEER_BIN / "python"), str(Path(__file__).with_name("peer_pipeline.py"))]
        command += ["--data-root", str(workload.data_root)]
        command += ["--module-file", str(peer_module(work_dir))]
        command += ["--work-dir", str(work_dir)]
        command += ["--train-steps", str(workload.train_steps)]
        command += ["--min-auc", str(workload.min_auc)]
        # In its directory: TFX installs the module file from a relative path.
        return measure(command, work_dir / "run.log", work_dir)

    def node_seconds(self, work_dir: Path) -> Mapping[str, float]:
        reports = [
            line
            for line in (work_dir / "run.log").read_text(errors="replace").splitlines()
            if line.startswith('{"nodes"')
        ]
        nodes = json.loads(reports[-1])["nodes"]
        return {name: node["seconds"] for name, node in nodes.items()}

    def help(self, work_dir: Path) -> Measurement:
        return measure([str(PEER_BIN / "tfx"), "--help"], work_dir / "help.log", work_dir)


def peer_module(work_dir: Path) -> Path:
    """The same module file with TFX's FnArgs, alone in a directory: TFX packages what is there."""
    ours, theirs = (
        "from prodml.components import FnArgs\n",
        "from tfx.v1.components import FnArgs\n",
    )
    source = MODULE_FILE.read_text()
    if ours not in source:
        raise ValueError(f"{MODULE_FILE} does not import FnArgs as {ours!r}")
    path = work_dir / "module" / MODULE_FILE.name
    path.parent.mkdir(exist_ok=True)
    path.write_text(source.replace(ours, theirs))
    return path


def systems(names: Sequence[str]) -> list[System]:
    """The systems of these names; TFX only where its environment is there.

    Raises:
        FileNotFoundError: TFX is asked for and was not set up.
    """
    known: dict[str, System] = {"prodml": Prodml(), "tfx": Tfx()}
    if "tfx" in names and not shutil.which("python", path=str(PEER_BIN)):
        raise FileNotFoundError(f"{PEER_BIN} is missing; run tests/benchmarks/setup_peer.sh")
    return [known[name] for name in names]
