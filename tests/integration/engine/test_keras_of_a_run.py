"""Each node of a run gets the `tf.keras` that was chosen, in any process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from prodml import keras_choice

PIPELINE = """
import os
{start}
from typing import Literal
from prodml import Output, Parameter, component, pipeline
from prodml.artifacts import Artifact

class Text(Artifact):
    type_name = "KerasText"

@component
def Ask(made: Output[Text], keras: Parameter[Literal["tf_keras", "keras"] | None] = None):
    import tensorflow as tf
    from tensorflow.keras import layers
    made.custom_properties["means"] = tf.keras.Model.__module__.split(".")[0]
    made.custom_properties["imports"] = layers.Dense.__module__.split(".")[0]
    made.custom_properties["pid"] = os.getpid()

@pipeline(name="asking")
def asking(first: str, second: str):
    for number, asked in enumerate([first, second]):
        Ask(keras=asked or None).with_id(f"Ask{{number}}")
"""


class Workplace:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.write()

    def write(self, start: str = "") -> None:
        (self.root / "asking_pipeline.py").write_text(PIPELINE.format(start=start))

    def prodml(
        self, command: str, first: str = "", second: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable, "-m", "prodml", command, "asking_pipeline.py",
                "--param", f"first={first}", "--param", f"second={second}",
            ],
            cwd=self.root,
            env={"PATH": "/usr/bin:/bin", **environment},
            capture_output=True,
            text=True,
        )  # fmt: skip

    def run(self, first: str = "", second: str = "", **environment: str) -> str:
        ran = self.prodml("run", first, second, **environment)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout + ran.stderr

    def found(self) -> dict[str, dict[str, object]]:
        shown = subprocess.run(
            [sys.executable, "-m", "prodml", "show", "latest", "--json"],
            cwd=self.root,
            capture_output=True,
            check=True,
        )
        document = json.loads(shown.stdout)
        return {
            a["properties"]["producer_component"]: a["properties"] for a in document["artifacts"]
        }


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def test_the_default_is_tf_keras_in_each_spelling(work: Workplace) -> None:
    work.run()
    for node in work.found().values():
        assert (node["means"], node["imports"]) == ("tf_keras", "tf_keras")


def test_the_configuration_chooses_for_all_nodes_and_a_change_misses_the_cache(
    work: Workplace,
) -> None:
    work.run()
    planned = work.prodml("plan", PRODML_KERAS="keras")
    assert "tf.keras: tf_keras -> keras" in planned.stdout
    work.run(PRODML_KERAS="keras")
    nodes = work.found().values()
    assert {node["means"] for node in nodes} == {"keras"}
    assert len({node["pid"] for node in nodes}) == 1


def test_two_nodes_that_differ_run_in_two_processes(work: Workplace) -> None:
    said = work.run("tf_keras", "keras")
    nodes = work.found()
    assert [nodes[f"Ask{n}"]["means"] for n in range(2)] == ["tf_keras", "keras"]
    assert nodes["Ask0"]["pid"] != nodes["Ask1"]["pid"]
    assert "Ask1: ran in a separate process: tf.keras is keras for Ask1" in said


def test_a_node_with_limits_gets_the_same(work: Workplace) -> None:
    (work.root / "limits.yaml").write_text("nodes: {Ask1: {timeout_seconds: 120}}\nkeras: keras\n")
    ran = subprocess.run(
        [
            sys.executable, "-m", "prodml", "run", "asking_pipeline.py", "--config", "limits.yaml",
            "--param", "first=", "--param", "second=",
        ],
        cwd=work.root,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert {node["means"] for node in work.found().values()} == {"keras"}


def test_a_pipeline_file_that_imports_tensorflow_first_changes_nothing(work: Workplace) -> None:
    work.write("import tensorflow_model_analysis, tensorflow")
    work.run()
    assert {node["imports"] for node in work.found().values()} == {"tf_keras"}


def test_a_process_that_has_another_keras_already_is_left_alone(work: Workplace) -> None:
    script = """
import tensorflow as tf
tf.keras.Model
from prodml.compiler.compile import compile_pipeline
from prodml.dsl.user_code import load_module
from prodml.orchestration.run import run_pipeline
from prodml.orchestration.settings import RunSettings
from prodml.orchestration.results import RunResult

class Quiet:
    def __getattr__(self, name):
        return lambda *given: None

spec = compile_pipeline(load_module("asking_pipeline.py").asking.build({"first": "", "second": ""}))
run_pipeline(spec, RunSettings(".prodml/metadata.db", ".prodml/artifacts", ".prodml/logs"), Quiet())
print(tf.keras.Model.__module__)
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=work.root, capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("keras.")
    assert {node["means"] for node in work.found().values()} == {"tf_keras"}


def test_an_ignored_environment_variable_is_reported(work: Workplace) -> None:
    said = work.run(**{keras_choice.VARIABLE: "0"})
    assert "TF_USE_LEGACY_KERAS in the environment is ignored: tf.keras is tf_keras" in said
    assert "set keras: keras in the configuration" in said
    assert {node["means"] for node in work.found().values()} == {"tf_keras"}


def test_a_pipeline_file_that_sets_the_variable_is_refused(work: Workplace) -> None:
    work.write("os.environ['TF_USE_LEGACY_KERAS'] = '0'")
    refused = work.prodml("run")
    assert refused.returncode == 2
    assert "write Trainer(keras='keras'), or keras: keras in the configuration" in refused.stderr


def test_an_unknown_keras_is_refused(work: Workplace) -> None:
    refused = work.prodml("run", PRODML_KERAS="keras3")
    assert refused.returncode == 2
    assert "keras: Input should be 'tf_keras' or 'keras', got 'keras3'" in refused.stderr
