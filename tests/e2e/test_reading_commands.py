"""plan, runs, show, artifacts, lineage and baseline, as text and as JSON; the live display."""

import json
import os
import pty
import sys
from pathlib import Path
from typing import Any

import pytest
from support import warm

PIPELINE = """
import os
from prodml import Input, Output, Parameter, component, pipeline
from prodml.artifacts import Model, ModelBlessing

@component
def Train(model: Output[Model], number: Parameter[int] = 1):
    with open(os.path.join(model.uri, "weights"), "w") as file:
        file.write(str(number))

@component
def Bless(model: Input[Model], blessing: Output[ModelBlessing]):
    blessing.custom_properties["blessed"] = 1

@pipeline(name="models")
def models(number: int = 1):
    Bless(model=Train(number=number).outputs["model"])
"""


class Workspace:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "pipeline.py").write_text(PIPELINE)

    def prodml(self, *arguments: str, code: int = 0) -> str:
        ran = warm.run(
            [sys.executable, "-m", "prodml", *arguments],
            cwd=self.directory,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout if code == 0 else ran.stderr

    def json(self, *arguments: str) -> Any:
        return json.loads(self.prodml(*arguments, "--json"))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    work = Workspace(tmp_path_factory.mktemp("work"))
    work.prodml("run", "pipeline.py")
    work.prodml("run", "pipeline.py", "--param", "number=2")
    return work


def test_before_the_first_run_commands_say_that_there_are_none(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    assert "no runs in" in work.prodml("runs")
    assert work.json("runs") == []
    assert "no matching artifacts" in work.prodml("artifacts")
    assert "run a pipeline first" in work.prodml("show", "latest", code=2)


def test_an_unwritable_path_is_a_one_line_error_with_the_path(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    output = work.prodml("compile", "pipeline.py", "-o", "no/spec.json", code=2)
    assert output == "error: --output no/spec.json: No such file or directory\n"
    (tmp_path / ".prodml").write_text("a file")
    output = work.prodml("run", "pipeline.py", code=1)
    assert output.startswith(f"error: {tmp_path}/.prodml: File exists; ")
    assert output.count("\n") == 1
    assert "Traceback" in work.prodml("run", "pipeline.py", "--traceback", code=1)


def test_runs_are_listed_newest_first(work: Workspace) -> None:
    runs = work.json("runs")
    assert [run["parameters"] for run in runs][-2:] == [{"number": 2}, {"number": 1}]
    assert all(run["state"] == "COMPLETE" for run in runs)
    assert runs[0]["run_id"] in work.prodml("runs")


def test_show_has_the_reason_of_each_node(work: Workspace) -> None:
    newest = work.json("runs")[0]["run_id"]
    detail = work.json("show", newest)
    reasons = {node["node_id"]: node["reason"] for node in detail["nodes"]}
    assert reasons == {"Train": "parameter number: 1 -> 2", "Bless": "new model"}
    assert "parameter number: 1 -> 2" in work.prodml("show", "latest")


def test_the_error_for_an_unknown_id_names_the_command_that_lists_them(work: Workspace) -> None:
    assert "`prodml runs` lists all runs" in work.prodml("show", "nothing", code=2)
    assert "`prodml artifacts` lists them" in work.prodml("lineage", "999", code=2)


def test_artifacts_can_be_listed_by_type(work: Workspace) -> None:
    models = work.json("artifacts", "--type", "Model")
    assert [model["type"] for model in models] == ["Model", "Model"]
    assert models[0]["id"] > models[1]["id"]
    assert models[0]["uri"] in work.prodml("artifacts")


def test_lineage_has_upstream_and_downstream(work: Workspace) -> None:
    model = work.json("artifacts", "--type", "Model")[0]["id"]
    view = work.json("lineage", str(model))
    assert [step["node_id"] for step in view["upstream"]] == ["Train"]
    assert [step["node_id"] for step in view["downstream"]] == ["Bless"]
    assert "produced by" in work.prodml("lineage", str(model))


def test_plan_shows_what_would_run_and_writes_nothing(work: Workspace) -> None:
    before = len(work.json("runs"))
    plan = work.json("plan", "pipeline.py", "--param", "number=3")
    assert [(n["node_id"], n["action"]) for n in plan["nodes"]] == [
        ("Train", "run"),
        ("Bless", "undecided"),
    ]
    assert [n["action"] for n in work.json("plan", "pipeline.py")["nodes"]] == ["cached", "cached"]
    assert [n["action"] for n in work.json("plan", "pipeline.py", "--no-cache")["nodes"]] == [
        "run",
        "undecided",
    ]
    assert len(work.json("runs")) == before


def test_only_a_model_of_the_pipeline_can_be_its_baseline(work: Workspace) -> None:
    model = str(work.json("artifacts", "--type", "Model")[0]["id"])
    why = ["--why", "more stable"]
    output = work.prodml("baseline", "set", model, "--pipeline", "models", *why)
    assert output == f"baseline of models is model {model}\n"
    refused = work.prodml("baseline", "set", model, "--pipeline", "others", *why, code=2)
    assert f"pipeline 'others' has no live model {model}" in refused
    work.prodml("baseline", "reset", "--pipeline", "models", *why)


def test_on_a_terminal_each_node_has_one_line(work: Workspace) -> None:
    main, terminal = pty.openpty()
    process = warm.Popen(
        [sys.executable, "-m", "prodml", "run", "pipeline.py", "--no-cache"],
        cwd=work.directory,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(terminal)
    output = b""
    while True:
        try:
            block = os.read(main, 4096)
        except OSError:  # the other end closed
            break
        if not block:
            break
        output += block
    assert process.wait() == 0
    lines = output.decode().splitlines()
    assert [line for line in lines if "✓" in line and "Train" in line]
    assert [line for line in lines if "waiting" in line]
