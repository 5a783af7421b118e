"""Module files like those of TFX's tutorials, run by the CLI with either version of Keras."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import warm
from tfx_modules.rows import digits, penguins
from tfx_modules.taxi_rows import taxi_rows

from prodml.keras_choice import DEFAULT

MODULES = Path(__file__).parents[1] / "tfx_modules"


class Workspace:
    def __init__(self, root: Path) -> None:
        self.root = root

    def run(
        self, module: str, rows: pa.Table, keras: str, has_transform: bool = True
    ) -> subprocess.CompletedProcess[str]:
        (self.root / "data").mkdir()
        pq.write_table(rows, self.root / "data" / "rows.parquet")
        return self._prodml(
            "run", str(MODULES / "pipeline.py"), "--require-push",
            "--param", "data_root=data",
            "--param", f"module_file={MODULES / module}",
            "--param", f"has_transform={has_transform}",
            "--param", f"keras={keras}",
            # The other libraries were imported for the default.
            libraries=warm.TENSORFLOW if keras == DEFAULT else warm.WITHOUT_TENSORFLOW,
        )  # fmt: skip

    def model_properties(self) -> dict[str, object]:
        artifacts = json.loads(self._prodml("show", "latest", "--json").stdout)["artifacts"]
        [model] = [a for a in artifacts if a["type"] == "Model"]
        properties: dict[str, object] = model["properties"]
        return properties

    def _prodml(
        self, *arguments: str, libraries: str = warm.WITHOUT_TENSORFLOW
    ) -> subprocess.CompletedProcess[str]:
        return warm.run(
            [sys.executable, "-m", "prodml", *arguments],
            libraries=libraries,
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": ""},
            capture_output=True,
            text=True,
        )


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.mark.parametrize(
    ("module", "rows", "has_transform", "keras"),
    [
        ("taxi.py", taxi_rows(600), True, "tf_keras"),
        ("taxi_exported.py", taxi_rows(600), True, "tf_keras"),
        ("taxi_exported.py", taxi_rows(600), True, "keras"),
        ("penguin.py", penguins(300), False, "tf_keras"),
        ("penguin_exported.py", penguins(300), False, "tf_keras"),
        ("penguin_exported.py", penguins(300), False, "keras"),
        ("mnist.py", digits(300), True, "tf_keras"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_module_file_trains_a_model_that_a_server_can_run(
    work: Workspace, module: str, rows: pa.Table, has_transform: bool, keras: str
) -> None:
    ran = work.run(module, rows, keras, has_transform)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "answered 1 request(s) as its signatures declare" in one_line(ran.stdout)
    assert work.model_properties()["keras"] == keras


@pytest.mark.parametrize(
    ("module", "rows", "has_transform", "variable"),
    [("taxi.py", taxi_rows(600), True, "dense"), ("penguin.py", penguins(300), False, "dense")],
    ids=["taxi", "penguin"],
)
def test_a_keras_3_model_saved_in_the_old_way_is_rejected_before_the_push(
    work: Workspace, module: str, rows: pa.Table, has_transform: bool, variable: str
) -> None:
    ran = work.run(module, rows, "keras", has_transform)
    assert ran.returncode == 1
    output = one_line(ran.stdout + ran.stderr)
    assert f"signature 'serving_default': Could not find variable {variable}" in output
    assert "export it with prodml.components.export_model(" in output
    assert not (work.root / "serving").exists()


def one_line(text: str) -> str:
    return " ".join(text.split())
