"""What users' code prints, notes and raises cannot command the terminal of who reads it."""

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


class Desk:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "component.py").write_text(COMPONENT)
        (directory / "executor.py").write_text(EXECUTOR)
        (directory / "pipeline.py").write_text(PIPELINE)

    def prodml(self, *arguments: str, locale: str = "C.UTF-8") -> str:
        """Standard output and error, as one text."""
        ran = subprocess.run(
            [sys.executable, "-m", "prodml", *arguments],
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONIOENCODING": "ascii" if locale == "C" else "utf-8"},
        )
        return ran.stdout.decode()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    said = desk.prodml("run", "pipeline.py")
    assert_is_harmless(said)
    assert "Failing: ValueError: red [bold]tag[/bold] [/nothing]  end" in said
    assert "Loud: red [bold]tag[/bold] [/nothing]  end" in said
    return desk


def assert_is_harmless(said: str) -> None:
    assert "\x1b" not in said and "\x9b" not in said and "\x07" not in said, repr(said)


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
    desk: Desk, command: tuple[str, ...], locale: str
) -> None:
    said = desk.prodml(*command, locale=locale)
    assert_is_harmless(said)
    assert "UnicodeEncodeError" not in said and "MarkupError" not in said


def test_what_a_node_printed_is_shown_without_colours_and_earlier_states(desk: Desk) -> None:
    said = desk.prodml("logs", "latest", "Loud")
    assert said == "red [bold]tag[/bold] [/nothing]  end\n100%\n"


def test_json_stays_what_was_recorded(desk: Desk) -> None:
    said = desk.prodml("show", "latest", "--json")
    assert_is_harmless(said)
    assert "\\u001b]0;owned\\u0007" in said


def test_the_live_display_shows_text_and_nothing_else(desk: Desk) -> None:
    terminal, its_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "prodml", "run", "pipeline.py", "--no-cache"],
        cwd=desk.directory,
        stdout=its_end,
        stderr=subprocess.STDOUT,
    )
    os.close(its_end)
    said = b""
    while True:
        try:
            said += os.read(terminal, 1 << 16)
        except OSError:
            break
    os.close(terminal)
    process.wait()
    assert b"red [bold]tag[/bold]" in said
    assert b"owned" not in said and b"\xc2\x9b" not in said
