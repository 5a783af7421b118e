"""Checks the imports of each command, because a timed test would measure the machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAVY = {
    "apache_beam", "keras", "numpy", "pandas", "pyarrow", "tensorflow",
    "tensorflow_data_validation", "tensorflow_model_analysis", "tensorflow_transform", "tfx_bsl",
}  # fmt: skip
STORE = {"ml_metadata", "google.protobuf", "grpc"}


def imported(arguments: list[str], home: Path) -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "prodml", *arguments],
        env={**os.environ, "PRODML_HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines() if "|" in line}


FLIGHTS = [str(ROOT / "pipelines" / "flights.py"), "--param", f"data_root={ROOT}/docs"]


@pytest.mark.parametrize(
    ("arguments", "forbidden"),
    [
        (["--help"], HEAVY | STORE | {"pydantic", "yaml", "rich.live"}),
        (["run", "--help"], HEAVY | STORE | {"yaml"}),
        (["compile", *FLIGHTS], HEAVY | STORE),
        (["plan", *FLIGHTS], HEAVY),
        (["runs"], HEAVY),
        (["artifacts", "--json"], HEAVY),
    ],
)
def test_a_command_imports_no_more_than_it_needs(
    tmp_path: Path, arguments: list[str], forbidden: set[str]
) -> None:
    assert not imported(arguments, tmp_path) & forbidden


def test_help_imports_few_modules_of_prodml(tmp_path: Path) -> None:
    own = {name for name in imported(["--help"], tmp_path) if name.startswith("prodml")}
    # Apart from one module per command.
    others = {name for name in own if not name.startswith("prodml.cli")}
    assert len(others) <= 18, sorted(others)
