"""The two systems under measurement: prodml, and TFX in its own environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from measure import Measurement, measure
from timed_module import RUN_FN_SECONDS, write_timed_module

BENCHMARKS = Path(__file__).parent
REPOSITORY = BENCHMARKS.parents[1]
PipelineName = Literal["flights", "taxi"]
MODULE_FILES: Mapping[PipelineName, Path] = {
    "flights": REPOSITORY / "examples" / "flights" / "flights_utils.py",
    "taxi": REPOSITORY / "tests" / "tfx_modules" / "taxi.py",
}
OWN_PIPELINES: Mapping[PipelineName, Path] = {
    "flights": BENCHMARKS / "own_pipeline.py",
    "taxi": BENCHMARKS / "own_taxi_pipeline.py",
}
BIN = Path(sys.executable).parent
PEER_BIN = REPOSITORY / ".venv-tfx" / "bin"


@dataclass(frozen=True)
class Workload:
    """What both systems are given.

    Attributes:
        pipeline: the flights, or the taxi trips of a module file in the shape of TFX's tutorial.
        data_root: directory with span-01/flights.csv, or data.csv.
        train_steps: batches to train on, of 512 flights or 40 trips.
        min_auc: value threshold of the gate.
    """

    pipeline: PipelineName

    data_root: Path
    train_steps: int
    min_auc: float


class System(Protocol):
    """Runs a pipeline; a second run in the same directory finds the first's cache."""

    name: str
    directory: str
    """What its directories are called."""

    def run(self, workload: Workload, work_dir: Path) -> Measurement: ...

    def node_seconds(self, work_dir: Path) -> Mapping[str, float]:
        """Seconds of each node of the latest run in the directory."""
        ...


def run_fn_seconds(work_dir: Path) -> float:
    """What the user's run_fn took in the latest run that trained in the directory."""
    return float(_run_fn_file(work_dir).read_text())


class Prodml:
    """This project, through its command line.

    Args:
        as_tfx: counts exactly and writes TFRecord, as TFX does.
    """

    def __init__(self, as_tfx: bool = False) -> None:
        self._as_tfx = as_tfx
        self.name = "prodml as TFX" if as_tfx else "prodml"
        self.directory = self.name.replace(" ", "-")

    def run(self, workload: Workload, work_dir: Path) -> Measurement:
        parameters = {
            "data_root": workload.data_root,
            "module_file": write_timed_module(
                MODULE_FILES[workload.pipeline], work_dir, "prodml.components"
            ),
            "train_steps": workload.train_steps,
            "min_auc": workload.min_auc,
            "serving_dir": work_dir / "serving",
            "as_tfx": self._as_tfx,
        }
        arguments = ["run", str(OWN_PIPELINES[workload.pipeline]), "--require-push"]
        for name, value in parameters.items():
            arguments += ["--param", f"{name}={value}"]
        taken = self.command(arguments, work_dir)
        # The engine restarts the kernel's peak for each node, and with it what wait4 reports.
        nodes_mb = [node["peak_memory"] / 2**20 for node in self._nodes(work_dir)]
        return replace(taken, peak_mb=max(taken.peak_mb, *nodes_mb))

    def run_noop(self, nodes: int, in_chain: bool, work_dir: Path) -> Measurement:
        """Runs so many nodes that do nothing."""
        arguments = ["run", str(BENCHMARKS / "noop_pipeline.py"), "--no-cache"]
        arguments += ["--param", f"nodes={nodes}", "--param", f"in_chain={in_chain}"]
        return self.command(arguments, work_dir)

    def command(self, arguments: Sequence[str], work_dir: Path) -> Measurement:
        """Runs `prodml` with its store and artifacts in the directory."""
        command = [str(BIN / "prodml"), *arguments]
        return measure(command, work_dir / "run.log", REPOSITORY, self._environment(work_dir))

    def node_seconds(self, work_dir: Path) -> Mapping[str, float]:
        return {node["node_id"]: node["seconds"] for node in self._nodes(work_dir)}

    def _nodes(self, work_dir: Path) -> list[dict[str, Any]]:
        shown = subprocess.run(
            [str(BIN / "prodml"), "show", "latest", "--json"],
            cwd=REPOSITORY,
            env={**os.environ, **self._environment(work_dir)},
            check=True,
            capture_output=True,
        )
        nodes: list[dict[str, Any]] = json.loads(shown.stdout)["nodes"]
        return nodes

    def _environment(self, work_dir: Path) -> Mapping[str, str]:
        home = str(work_dir / "home")
        return {"PRODML_HOME": home, RUN_FN_SECONDS: str(_run_fn_file(work_dir))}


class Tfx:
    """TFX 1.16.0 with Beam in one process; see setup_peer.sh."""

    name = "TFX 1.16.0"
    directory = "tfx"

    def run(self, workload: Workload, work_dir: Path) -> Measurement:
        source = MODULE_FILES[workload.pipeline]
        module = write_timed_module(source, work_dir, "tfx.v1.components")
        command = [str(PEER_BIN / "python"), str(BENCHMARKS / "peer_pipeline.py")]
        command += ["--pipeline", workload.pipeline, "--data-root", str(workload.data_root)]
        command += ["--module-file", str(module)]
        command += ["--work-dir", str(work_dir)]
        command += ["--train-steps", str(workload.train_steps)]
        command += ["--min-auc", str(workload.min_auc)]
        environment = {RUN_FN_SECONDS: str(_run_fn_file(work_dir))}
        # In its directory: TFX installs the module file from a relative path.
        return measure(command, work_dir / "run.log", work_dir, environment)

    def node_seconds(self, work_dir: Path) -> Mapping[str, float]:
        reports = [
            line
            for line in (work_dir / "run.log").read_text(errors="replace").splitlines()
            if line.startswith('{"nodes"')
        ]
        nodes = json.loads(reports[-1])["nodes"]
        return {name: node["seconds"] for name, node in nodes.items()}


def _run_fn_file(work_dir: Path) -> Path:
    return work_dir / "run_fn_seconds"


def systems(names: Sequence[str]) -> list[System]:
    """The systems of these names; TFX only where its environment is there.

    Raises:
        FileNotFoundError: TFX is asked for and was not set up.
    """
    known: dict[str, System] = {
        "prodml": Prodml(),
        "prodml-as-tfx": Prodml(as_tfx=True),
        "tfx": Tfx(),
    }
    if "tfx" in names and not shutil.which("python", path=str(PEER_BIN)):
        raise FileNotFoundError(f"{PEER_BIN} is missing; run tests/benchmarks/setup_peer.sh")
    return [known[name] for name in names]
