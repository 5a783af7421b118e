"""`prodml environment`."""

from __future__ import annotations

from typing import Annotated

import typer

from prodml.cli.terminal import say


def environment(
    toml: Annotated[
        bool, typer.Option("--toml", help="Print a table for a uv project's pyproject.toml.")
    ] = False,
) -> None:
    """Print uv's overrides that keep unused packages out of an environment.

    In your own project: prodml environment --toml >> pyproject.toml, then uv sync. Without a
    project: prodml environment > overrides.txt, then uv pip install --override overrides.txt.
    """
    say(overrides_as_toml() if toml else overrides(), end="")


def overrides() -> str:
    """Returns the overrides in the format of a requirements file."""
    from importlib import resources

    return resources.files("prodml").joinpath("overrides.txt").read_text(encoding="utf-8")


def overrides_as_toml() -> str:
    """Returns the overrides as a table for `pyproject.toml`."""
    lines = [line for line in overrides().splitlines() if not line.startswith("#")]
    items = "".join(f'    "{line}",\n' for line in lines)
    return f"[tool.uv]\ncompile-bytecode = true\noverride-dependencies = [\n{items}]\n"
