"""`prodml environment`."""

from __future__ import annotations

from typing import Annotated

import typer

from prodml.cli.terminal import say


def environment(
    toml: Annotated[
        bool, typer.Option("--toml", help="As the table of a uv project's pyproject.toml.")
    ] = False,
) -> None:
    """Print uv's overrides for an environment without packages that nobody uses.

    For a project of yours: prodml environment --toml >> pyproject.toml, then uv sync. Without a
    project: prodml environment > overrides.txt, then uv pip install --override overrides.txt.
    """
    say(overrides_as_toml() if toml else overrides(), end="")


def overrides() -> str:
    """The overrides, in the format of requirements."""
    from importlib import resources

    return resources.files("prodml").joinpath("overrides.txt").read_text(encoding="utf-8")


def overrides_as_toml() -> str:
    """The overrides, as the table of a `pyproject.toml`."""
    lines = [line for line in overrides().splitlines() if not line.startswith("#")]
    items = "".join(f'    "{line}",\n' for line in lines)
    return f"[tool.uv]\ncompile-bytecode = true\noverride-dependencies = [\n{items}]\n"
