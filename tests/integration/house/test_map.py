"""The map in docs/architecture.md lists every package with the first line of its docstring."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "architecture.md"
START, END = "<!-- map -->\n", "<!-- end of map -->"


def packages() -> list[tuple[str, str]]:
    """Returns the path and the first docstring line of every package, parents first."""
    found = []
    for init in sorted(
        path
        for top in ("prodml", "components")
        for path in (ROOT / top).rglob("__init__.py")
        if "demo" not in path.parts and not path.is_relative_to(ROOT / "prodml" / "components")
    ):
        docstring = ast.get_docstring(ast.parse(init.read_text()))
        assert docstring, f"{init} has no docstring"
        found.append((str(init.parent.relative_to(ROOT)), docstring.splitlines()[0]))
    return found


def test_the_map_shows_every_package(pytestconfig: pytest.Config) -> None:
    rows = [f"| `{path}` | {sentence} |\n" for path, sentence in packages()]
    table = "\n| package | what lives there |\n|---|---|\n" + "".join(rows) + "\n"
    before, _, rest = PAGE.read_text().partition(START)
    shown, _, after = rest.partition(END)
    if pytestconfig.getoption("--regenerate"):
        PAGE.write_text(before + START + table + END + after)
    else:
        assert shown == table, "the map is outdated: run this test with --regenerate"
