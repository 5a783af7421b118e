"""Escape sequences in the output, notes and errors of user code never reach the terminal."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

HOSTILE = r"\x1b]0;owned\x07\x1b[31mred\x1b[0m [bold]tag[/bold] [/nothing] \x9b2J end"
COMPONENT = """
from prodml import Component, Output, Parameter
from prodml.artifacts import Schema

class Loud(Component):
    text: Parameter[str]
    made: Output[Schema]

class Failing(Loud):
    made: Output[Schema]
"""
EXECUTOR = r"""
def execute(context):
    text = context.parameters["text"]
    print(text)
    print(" 50%\r100%")
    context.note(text)
    context.outputs["made"].custom_properties["text"] = text
    if context.node_id == "Failing":
        raise ValueError(text)
"""
PIPELINE = f"""
from prodml import pipeline
from component import Failing, Loud

@pipeline(name="loud")
def loud(text: str = "{HOSTILE}"):
    Failing(text=Loud(text=text) and text)
"""


class Workspace:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "component.py").write_text(COMPONENT)
        (directory / "executor.py").write_text(EXECUTOR)
        (directory / "pipeline.py").write_text(PIPELINE)

    def prodml(self, *arguments: str, locale: str = "C.UTF-8") -> str:
        """Returns standard output and error as one text."""
        ran = subprocess.run(
            [sys.executable, "-m", "prodml", *arguments],
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONIOENCODING": "ascii" if locale == "C" else "utf-8"},
        )
        return ran.stdout.decode()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    work = Workspace(tmp_path_factory.mktemp("work"))
    output = work.prodml("run", "pipeline.py")
    assert_no_controls(output)
    assert "Failing: ValueError: red [bold]tag[/bold] [/nothing]  end" in output
    assert "Loud: red [bold]tag[/bold] [/nothing]  end" in output
    return work


def assert_no_controls(output: str) -> None:
    assert not {"\x1b", "\x9b", "\x07"} & set(output), repr(output)


@pytest.mark.parametrize(
    "command",
    [
        ("show", "latest"),
        ("runs",),
        ("artifacts",),
        ("lineage", "1"),
        ("logs", "latest"),
        ("logs", "latest", "Failing"),
        ("plan", "pipeline.py"),
        ("plan", "pipeline.py", "--param", "text=\x1b[31mother"),
        ("compile", "pipeline.py"),
        ("--traceback", "plan", "pipeline.py", "--param", "te\x1b[31mxt=other"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_a_command_prints_no_escape_sequence(
    work: Workspace, command: tuple[str, ...], locale: str
) -> None:
    output = work.prodml(*command, locale=locale)
    assert_no_controls(output)
    assert "UnicodeEncodeError" not in output and "MarkupError" not in output


def test_the_output_of_a_node_is_shown_without_colours_and_redrawn_lines(work: Workspace) -> None:
    output = work.prodml("logs", "latest", "Loud")
    assert output == "red [bold]tag[/bold] [/nothing]  end\n100%\n"


def test_json_contains_the_recorded_text_escaped(work: Workspace) -> None:
    output = work.prodml("show", "latest", "--json")
    assert_no_controls(output)
    assert "\\u001b]0;owned\\u0007" in output


def test_the_live_display_shows_no_escape_sequences_of_user_code(work: Workspace) -> None:
    terminal, process_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "prodml", "run", "pipeline.py", "--no-cache"],
        cwd=work.directory,
        stdout=process_end,
        stderr=subprocess.STDOUT,
    )
    os.close(process_end)
    output = b""
    while True:
        try:
            output += os.read(terminal, 1 << 16)
        except OSError:
            break
    os.close(terminal)
    process.wait()
    assert b"red [bold]tag[/bold]" in output
    assert b"owned" not in output and b"\xc2\x9b" not in output
