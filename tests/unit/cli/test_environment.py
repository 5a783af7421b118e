"""Users get the same overrides that prodml itself is developed and tested with."""

import tomllib
from pathlib import Path

from prodml.cli.environment import overrides, overrides_as_toml

ROOT = Path(__file__).parents[3]


def requirements(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_the_overrides_equal_those_in_pyproject_toml() -> None:
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
    assert requirements(overrides()) == own["override-dependencies"]
    assert tomllib.loads(overrides_as_toml())["tool"]["uv"] == own


def test_the_readme_shows_the_same_overrides() -> None:
    assert overrides_as_toml() in (ROOT / "README.md").read_text()
