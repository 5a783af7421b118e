"""What the commands print goes through `prodml.cli.terminal`, which makes it safe."""

import ast
from pathlib import Path

import pytest

CLI = Path(__file__).parents[3] / "prodml" / "cli"
OWN_WAYS = {"terminal.py", "printing.py"}
PRINTING = {"print", "echo", "secho", "writelines"}


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda path: path.name)
def test_a_command_prints_by_say_and_by_tables(path: Path) -> None:
    if path.name in OWN_WAYS:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            assert name not in PRINTING or (name == "print" and is_of_rich(node)), (
                f"{path}:{node.lineno}: use prodml.cli.terminal.say"
            )


def is_of_rich(call: ast.Call) -> bool:
    """`Console(...).print(lines)`, whose parts are made of Text."""
    return isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call)
