"""A compiled spec is enough to plan and to run, in a process that never loaded the pipeline."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

KINDS = """
from prodml.artifacts import Artifact

class Report(Artifact):
    type_name = "Report"
    provenance = frozenset({"made_by"})
"""
SETTINGS = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Step:
    rate: float
"""
PIPELINE = """
import os
from kinds import Report
from prodml import Input, Output, Parameter, component, pipeline
from settings import Step

with open("imported", "a") as file:
    file.write("once ")

@component
def Make(made: Output[Report], steps: Parameter[list[Step]] = ()):
    assert [step.rate for step in steps] == [0.5], steps
    made.custom_properties["made_by"] = str(os.getpid())

@component
def Use(given: Input[Report], names: Parameter[tuple[str, ...]] = ("a",)):
    assert names == ("a",), names

Use.is_thread_safe = True

@pipeline(name="steps")
def steps():
    Use(given=Make(steps=[Step(0.5)]).outputs["made"], names=("a",))
"""
RUN = """
import json, sys
from pathlib import Path
from support.silent import Silent
from prodml.compiler.spec import from_json
from prodml.orchestration.run import run_pipeline
from prodml.orchestration.settings import RunSettings
from prodml.metadata.reading import LineageReader
from prodml.metadata.store import Store
from prodml.orchestration.resolve.plan import make_plan

spec = from_json(Path("spec.json").read_text(), ".")
settings = RunSettings("home/metadata.db", "home/artifacts", "home/logs")
if sys.argv[1] == "plan":
    plan = make_plan(spec, LineageReader(Store(settings.metadata)), True)
    found = {node.node_id: node.action for node in plan.nodes}
else:
    result = run_pipeline(spec, settings, Silent())
    found = {node.node_id: node.state for node in result.nodes}
print(json.dumps(found))
"""


class Project:
    def __init__(self, root: Path) -> None:
        self.root = root
        for name, text in (("kinds", KINDS), ("settings", SETTINGS), ("pipeline", PIPELINE)):
            (root / f"{name}.py").write_text(text)
        (root / "pyproject.toml").touch()
        self.python("-m", "prodml", "compile", "pipeline.py", "--output", "spec.json")
        (root / "imported").unlink()

    def python(self, *arguments: str) -> str:
        ended = subprocess.run(
            [sys.executable, *arguments], cwd=self.root, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def with_spec(self, action: str) -> dict[str, Any]:
        support = Path(__file__).parents[2]
        code = f"import sys; sys.path.append({str(support)!r})\n{RUN}"
        answer: dict[str, Any] = json.loads(self.python("-c", code, action))
        return answer

    @property
    def has_imported_pipeline(self) -> bool:
        return (self.root / "imported").exists()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_spec_runs_in_a_process_that_never_loaded_the_pipeline(project: Project) -> None:
    assert project.with_spec("run") == {"Make": "complete", "Use": "complete"}
    assert (project.root / "imported").read_text() == "once "


def test_what_is_cached_is_found_without_importing_the_pipeline(project: Project) -> None:
    project.with_spec("run")
    (project.root / "imported").unlink()
    assert project.with_spec("plan") == {"Make": "cached", "Use": "cached"}
    assert project.with_spec("run") == {"Make": "cached", "Use": "cached"}
    assert not project.has_imported_pipeline


def test_provenance_of_a_users_type_counts_in_no_fingerprint_of_another_process(
    project: Project,
) -> None:
    project.with_spec("run")
    # It is made again, by another process, with the same content.
    spec = json.loads((project.root / "spec.json").read_text())
    (make,) = [node for node in spec["nodes"] if node["id"] == "Make"]
    make["is_cached"] = False
    (project.root / "spec.json").write_text(json.dumps(spec))
    assert project.with_spec("run") == {"Make": "complete", "Use": "cached"}
