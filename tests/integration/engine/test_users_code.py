"""Users' components in every layout, run for real: here, in nodes' own processes, from a spec."""

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from prodml.compiler.spec import from_json, to_json
from prodml.orchestration.code.pipeline_file import load_spec
from prodml.orchestration.results import NodeResult, RunResult
from prodml.orchestration.run import run_pipeline
from prodml.orchestration.settings import NodeLimits, RunSettings

EXECUTOR = """
    from shared.texts import Text
    def execute(context):
        source = context.optional_input("source", Text)
        made = context.output("made", Text)
        made.write((source.read() if source else "") + "{name} ")
        made.custom_properties.update(large=1 << 40, flag=True, share=0.5)
    """
COMPONENT = """
    from prodml import Component, Input, Output
    from shared.texts import Text
    class {name}(Component):
        source: Input[Text] | None = None
        made: Output[Text]
    """
PROJECT = {
    "pyproject.toml": "",
    "pipelines/pipeline_file.py": """
        from prodml import Channel, Component, Input, Output, component, pipeline
        from prodml.components import Resolver
        from flat_part import Flat
        from folder.component import Folder
        from shared.texts import Text
        from steps.counting.component import Package

        class Newest:
            def resolve(self, keys, candidates):
                return {key: [] for key in keys}

        class Own(Text):
            type_name = "OwnText"

        class InFile(Component):
            source: Input[Text]
            made: Output[Own]

        @component
        def Function(source: Input[Own], made: Output[Text]):
            made.write(source.read() + "Function ")

        @pipeline(name="layouts")
        def layouts():
            last = Flat()
            for kind in (Folder, Package, InFile, Function):
                last = kind(source=last.outputs["made"])
            Resolver(strategy_class=Newest, texts=Channel(type=Text))
        """,
    "pipelines/shared/texts.py": """
        from pathlib import Path
        from prodml.artifacts import Artifact
        class Text(Artifact):
            type_name = "LayoutText"
            def read(self): return Path(self.uri, "text").read_text()
            def write(self, text): Path(self.uri, "text").write_text(text)
        """,
    "pipelines/flat_part.py": COMPONENT.format(name="Flat"),
    # Beside the pipeline's file as well: its type is asked for by the class that this file imports.
    "pipelines/executor.py": """
        import pipeline_file
        from shared.texts import Text
        def execute(context):
            source = context.optional_input("source", Text)
            kind = pipeline_file.Own if source else Text
            made = context.output("made", kind)
            made.write((source.read() if source else "") + context.node_id + " ")
        """,
    "pipelines/folder/component.py": COMPONENT.format(name="Folder"),
    "pipelines/folder/executor.py": EXECUTOR.format(name="Folder"),
    "pipelines/steps/__init__.py": "",
    "pipelines/steps/counting/__init__.py": "",
    "pipelines/steps/counting/component.py": COMPONENT.format(name="Package"),
    "pipelines/steps/counting/executor.py": EXECUTOR.format(name="Package"),
}
NODES = ("Flat", "Folder", "Package", "InFile", "Function")


class Silent:
    def node_started(self, node_id: str, reason: str) -> None: ...

    def node_progress(self, node_id: str, done: int, total: int | None, unit: str) -> None: ...

    def node_retried(self, failed: NodeResult, wait_seconds: float) -> None: ...

    def node_finished(self, result: NodeResult) -> None: ...


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", sys.path.copy())
    for name, text in PROJECT.items():
        file = tmp_path / "a checkout" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    return tmp_path / "a checkout"


def settings(root: Path, limits: Mapping[str, NodeLimits] | None = None) -> RunSettings:
    places = (str(root / name) for name in ("metadata.db", "artifacts", "logs"))
    return RunSettings(*places, limits=limits or {})


def run(checkout: Path, limits: Mapping[str, NodeLimits] | None = None) -> RunResult:
    spec = load_spec(str(checkout / "pipelines" / "pipeline_file.py"), {}, module_roots=[])
    return run_pipeline(spec, settings(checkout.parent, limits), Silent())


def states(result: RunResult) -> dict[str, str]:
    return {node.node_id: str(node.state) for node in result.nodes if node.node_id in NODES}


def text_of(root: Path) -> str:
    (file,) = (root / "artifacts" / "layouts" / "Function" / "made").glob("*/text")
    return file.read_text()


def test_components_of_every_layout_share_one_artifact_type(checkout: Path) -> None:
    assert set(states(run(checkout)).values()) == {"complete"}
    assert text_of(checkout.parent) == "Flat Folder Package InFile Function "
    assert set(states(run(checkout)).values()) == {"cached"}


def test_components_of_every_layout_run_in_separate_processes(checkout: Path) -> None:
    limits = {node: NodeLimits(timeout_seconds=120) for node in ("Folder", "InFile", "Function")}
    assert set(states(run(checkout, limits)).values()) == {"complete"}
    assert text_of(checkout.parent) == "Flat Folder Package InFile Function "


def test_another_checkout_finds_all_of_it_in_the_cache(checkout: Path) -> None:
    run(checkout)
    other = checkout.parent / "another"
    shutil.copytree(checkout, other)
    assert set(states(run(other)).values()) == {"cached"}


def test_the_spec_and_the_project_are_enough_to_run(checkout: Path) -> None:
    spec = load_spec(str(checkout / "pipelines" / "pipeline_file.py"), {}, module_roots=[])
    (checkout.parent / "spec.json").write_text(to_json(spec))
    moved = checkout.parent / "moved"
    checkout.rename(moved)
    code = """
        import sys
        from pathlib import Path
        sys.path.append({tests!r})
        from test_users_code import Silent, settings
        from prodml.compiler.spec import from_json
        from prodml.orchestration.run import run_pipeline
        spec = from_json(Path("spec.json").read_text(), {project!r})
        run_pipeline(spec, settings(Path.cwd()), Silent())
        """
    text = textwrap.dedent(code).format(tests=os.path.dirname(__file__), project=str(moved))
    ended = subprocess.run(
        [sys.executable, "-c", text], cwd=moved.parent, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert text_of(moved.parent) == "Flat Folder Package InFile Function "


def test_the_spec_names_no_directory_of_this_machine(checkout: Path) -> None:
    spec = load_spec(str(checkout / "pipelines" / "pipeline_file.py"), {}, module_roots=[])
    text = to_json(spec)
    assert str(checkout.parent) not in text
    assert '"component": "${project}/pipelines//flat_part:Flat"' in text
    assert '"component": "${project}/pipelines/pipeline_file.py:Function"' in text
    assert '"execution_type": "pipeline_file.Function"' in text
    assert from_json(text, str(checkout)) == spec
