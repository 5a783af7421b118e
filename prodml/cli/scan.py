"""`prodml scan`."""

from __future__ import annotations

from typing import Annotated

import typer

from prodml.cli.options import Json
from prodml.cli.terminal import say


def scan(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Directory with a saved_model.pb.")],
    json: Json = False,
) -> None:
    """List the operations of a SavedModel that touch files, the network or Python.

    The model is not run. Exit codes: 0 no findings, 1 findings, 2 no SavedModel.
    """
    from prodml.cli import printing
    from prodml.scan.saved_model_scan import scan

    found = scan(model)
    if json:
        printing.print_json(found)
    elif found:
        printing.print_table(
            ["danger", "operation", "node", "function", "meta graph", "reached from"],
            [
                (
                    each.danger,
                    each.operation,
                    each.node,
                    each.function,
                    ", ".join(each.meta_graph),
                    ", ".join(each.reached_from) or "tf.saved_model.load only",
                )
                for each in found
            ],
        )
    else:
        say(f"{model}: no operation touches files, the network or Python")
    if found:
        raise typer.Exit(1)
