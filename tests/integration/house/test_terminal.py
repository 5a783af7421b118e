"""Commands print only through `prodml.cli.terminal`, which makes text safe."""

import ast
from pathlib import Path

import pytest

CLI = Path(__file__).parents[3] / "prodml" / "cli"
EXEMPT = {"terminal.py", "printing.py"}
PRINTING = {"print", "echo", "secho", "writelines"}


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda path: path.name)
def test_a_command_prints_only_by_say_and_tables(path: Path) -> None:
    if path.name in EXEMPT:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            assert name not in PRINTING or (name == "print" and is_of_rich(node)), (
                f"{path}:{node.lineno}: use prodml.cli.terminal.say"
            )


def is_of_rich(call: ast.Call) -> bool:
    """Returns whether a call is `Console(...).print(lines)`, whose lines are Text objects."""
    return isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call)
