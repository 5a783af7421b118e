"""`prodml lineage`."""

from __future__ import annotations

from typing import Annotated

import typer

from prodml.cli.options import LARGEST_NUMBER, ConfigFile, Json
from prodml.cli.terminal import say


def lineage(
    artifact: Annotated[
        int,
        typer.Argument(min=1, max=LARGEST_NUMBER, metavar="ARTIFACT", help="Id of an artifact."),
    ],
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Show the executions that led to an artifact, and those that used it."""
    from prodml.cli import options, printing
    from prodml.config import load_config
    from prodml.views.lineage import lineage_of

    view = lineage_of(options.require_reader(load_config(config)), artifact)
    if json:
        printing.print_json(view)
        return
    names = {a.id: f"{a.type} {a.id}" for a in view.artifacts}
    say(f"{view.artifact.type} {view.artifact.id} ({view.artifact.state})\n{view.artifact.uri}")
    for title, steps in (("produced by", view.upstream), ("used by", view.downstream)):
        say(f"\n{title}:" if steps else f"\n{title}: nothing")
        printing.print_table(
            ["run", "node", "inputs", "outputs"],
            [
                (
                    step.run_id,
                    step.node_id,
                    ", ".join(names.get(i, str(i)) for i in step.inputs),
                    ", ".join(names.get(i, str(i)) for i in step.outputs),
                )
                for step in steps
            ],
        )
