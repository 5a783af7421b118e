"""A component without an executor is refused at compile time."""

import sys
from pathlib import Path

import pytest
from support import warm

import prodml.components
from prodml.compiler.compile import compile_pipeline
from prodml.compiler.component_files import driver_problem, executor_problem
from prodml.dsl.component import Component
from prodml.dsl.user_code import load_module
from prodml.errors import DefinitionError

PIPELINE = """
from prodml import Component, Output, pipeline
from prodml.artifacts import Examples

class Make(Component):
    made: Output[Examples]

@pipeline(name="makes")
def makes():
    Make()
"""


class Workspace:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.pipeline = root / "pipeline_file.py"
        self.pipeline.write_text(PIPELINE)

    def write_executor(self, text: str) -> None:
        (self.root / "executor.py").write_text(text)

    def compile(self) -> None:
        compile_pipeline(load_module(str(self.pipeline)).makes.build({}))

    @property
    def error(self) -> str:
        with pytest.raises(DefinitionError) as caught:
            self.compile()
        return str(caught.value)


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_the_error_names_the_authors_line_and_the_missing_file(work: Workspace) -> None:
    assert work.error == (
        f"{work.pipeline}:10: component Make cannot run: it has no executor: write "
        f"{work.root}/executor.py with execute(context: ExecutorContext) -> None"
    )


@pytest.mark.parametrize("command", ["compile", "plan"])
def test_the_commands_refuse_a_missing_executor(work: Workspace, command: str) -> None:
    ran = warm.run(
        [sys.executable, "-m", "prodml", command, "pipeline_file.py"],
        cwd=work.root,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 2
    assert "pipeline_file.py:10: component Make cannot run: it has no executor" in ran.stderr


@pytest.mark.parametrize(
    "text",
    [
        "",
        "def run(context): ...\n",
        "class Executor:\n    def execute(self, context): ...\n",
        "def outer():\n    def execute(context): ...\n",
        "import execute_other\n",
    ],
)
def test_an_executor_without_execute_is_refused(work: Workspace, text: str) -> None:
    work.write_executor(text)
    assert f"cannot run: {work.root}/executor.py has no function execute" in work.error


@pytest.mark.parametrize(
    "text",
    [
        "def execute(context): ...\n",
        "from work_of_others import execute\n",
        "from work_of_others import *\n",
        "execute = print\n",
        "try:\n    from a import execute\nexcept ImportError:\n    def execute(context): ...\n",
    ],
)
def test_an_executor_with_execute_is_accepted(work: Workspace, text: str) -> None:
    work.write_executor(text)
    work.compile()


def test_an_executor_is_not_imported(work: Workspace) -> None:
    work.write_executor("raise SystemExit('was imported')\ndef execute(context): ...\n")
    work.compile()


def test_an_executor_that_is_not_python_names_its_line(work: Workspace) -> None:
    work.write_executor("import os\ndef execute(context:\n")
    assert "executor.py is not Python: '(' was never closed (executor.py, line 2)" in work.error


def test_a_driver_without_driver_functions_is_refused(work: Workspace) -> None:
    work.write_executor("def execute(context): ...\n")
    (work.root / "driver.py").write_text("def resolv(parameters): ...\n")
    assert f"{work.root}/driver.py has neither judge_cached nor resolve" in work.error
    (work.root / "driver.py").write_text("def resolve(parameters): ...\n")
    work.compile()


def test_the_executor_of_a_component_in_a_package_is_in_the_package(work: Workspace) -> None:
    package = work.root / "made_of_parts"
    package.mkdir()
    (package / "__init__.py").touch()
    declaration, _, rest = PIPELINE.partition("@pipeline")
    (package / "component.py").write_text(declaration)
    work.pipeline.write_text(
        f"from prodml import pipeline\nfrom made_of_parts.component import Make\n@pipeline{rest}"
    )
    assert f"write {package}/executor.py with execute" in work.error
    (package / "executor.py").write_text("def execute(context): ...\n")
    work.compile()


def test_a_component_inside_a_function_is_refused(work: Workspace) -> None:
    declaration = "    class Make(Component):\n        made: Output[Examples]\n    Make()\n"
    head = PIPELINE.partition("class Make")[0]
    work.pipeline.write_text(f"{head}@pipeline(name='makes')\ndef makes():\n{declaration}")
    work.write_executor("def execute(context): ...\n")
    assert "so no node could load component Make" in work.error
    assert "define it at module level" in work.error


def test_every_component_that_ships_has_its_executor_or_needs_none() -> None:
    shipped = [c for c in vars(prodml.components).values() if isinstance(c, type)]
    components = [c for c in shipped if issubclass(c, Component)]
    without = {c.__name__ for c in components if executor_problem(c) is not None}
    assert without == {"Importer", "Resolver"}
    assert not [c.__name__ for c in components if driver_problem(c) is not None]
