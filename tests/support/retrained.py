"""A project with a small pipeline that is retrained, without TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from support import warm

_COMPONENT = """
from prodml import Component, Output, Parameter
from prodml.artifacts import Examples
from prodml.dsl.parameters import DataPath

class Read(Component):
    data: Parameter[DataPath]
    examples: Output[Examples]
"""

_DRIVER = """
import os
from pathlib import Path
from prodml.dsl.executor import DriverResult

def resolve(parameters):
    names = sorted(os.listdir(parameters["data"]))
    span = int(names[-1].removesuffix(".csv"))
    path = os.path.join(parameters["data"], names[-1])
    resolved = {"span": span, "version": 0, "files": {"all": [path]}, "spans": {"all": [[span, 0]]}}
    return DriverResult(Path(path).read_text(), f"span {span}", resolved)
"""

_EXECUTOR = """
import json
from pathlib import Path
from prodml.artifacts import Examples

def execute(context):
    examples = context.output("examples", Examples)
    examples.properties.update(span=context.resolved["span"], version=0)
    examples.split_names = ["all"]
    rows = Path(context.resolved["files"]["all"][0]).read_text().count("\\n") - 1
    examples.custom_properties["row_counts"] = json.dumps({"all": rows})
"""

_PIPELINE = """
import os, time
from pathlib import Path
from prodml import Input, Output, Parameter, component, pipeline
from prodml.artifacts import Examples, Model, ModelEvaluation, PushedModel, Schema
from prodml.components import ImportSchemaGen
from reading.component import Read

@component
def Train(examples: Input[Examples], schema: Input[Schema], model: Output[Model]):
    with open("trained", "a") as file:
        file.write("x")
    if os.path.exists("fail"):
        raise ValueError("cannot train")
    while os.path.exists("hold"):
        time.sleep(0.01)
    Path(model.uri, "model").write_text(examples.uri)

@component
def Evaluate(model: Input[Model], evaluation: Output[ModelEvaluation]):
    evaluation.custom_properties["metrics"] = '{"auc": 0.8, "loss": 0.4}'

@component
def Push(model: Input[Model], pushed: Output[PushedModel]):
    pushed.custom_properties["pushed"] = int(os.path.exists("push"))

@pipeline(name="small")
def small(data: str = "data"):
    schema = ImportSchemaGen(schema_file="schema.pbtxt").outputs["schema"]
    trained = Train(examples=Read(data=data).outputs["examples"], schema=schema)
    Evaluate(model=trained.outputs["model"])
    Push(model=trained.outputs["model"])
"""


class RetrainedProject:
    """A directory with the pipeline, its data and its configuration.

    Args:
        root: an empty directory.
        triggers: the section `retrain` of the configuration.
        metadata: the section `metadata`; by default an SQLite file.
    """

    def __init__(
        self, root: Path, triggers: dict[str, Any], metadata: dict[str, Any] | None = None
    ) -> None:
        self.root = root
        (root / "reading").mkdir()
        (root / "data").mkdir()
        (root / "reading" / "component.py").write_text(_COMPONENT)
        (root / "reading" / "driver.py").write_text(_DRIVER)
        (root / "reading" / "executor.py").write_text(_EXECUTOR)
        (root / "pipeline.py").write_text(_PIPELINE)
        self.schema("x")
        self.span(1)
        config = {"retrain": triggers, "metadata": metadata or {}, "retry": {"max_attempts": 1}}
        self.config = root / "config.yaml"
        self.config.write_text(yaml.safe_dump(config))

    def span(self, number: int, rows: int = 3) -> None:
        """Adds the data of a span."""
        lines = ["value", *(f"{number}.{row}" for row in range(rows)), ""]
        (self.root / "data" / f"{number:02}.csv").write_text("\n".join(lines))

    def schema(self, feature: str) -> None:
        """Writes the schema."""
        (self.root / "schema.pbtxt").write_text(f'feature {{ name: "{feature}" type: INT }}\n')

    @property
    def trainings(self) -> int:
        """How often the model was trained, or training was tried."""
        path = self.root / "trained"
        return len(path.read_text()) if path.exists() else 0

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "prodml", *arguments, "--config", "config.yaml"]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return warm.Popen(
            self.command(*arguments),
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start_scheduler(self) -> subprocess.Popen[str]:
        return warm.Popen(
            [sys.executable, "-m", "prodml", "schedule", "pipeline.py=config.yaml"],
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=300,
        )

    def retrain(self) -> tuple[int, dict[str, Any]]:
        """The exit code and the JSON document of `prodml retrain`."""
        ran = self.run("retrain", "pipeline.py", "--json")
        assert ran.stdout, ran.stderr
        return ran.returncode, json.loads(ran.stdout)
