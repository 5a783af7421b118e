"""`prodml show`."""

from __future__ import annotations

from typing import Annotated

import typer

from prodml.cli.options import ConfigFile, Json
from prodml.cli.terminal import say


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run id, or 'latest'.")],
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Show a run: every node, why it ran, its row counts, memory and outputs."""
    from prodml.cli import options, printing
    from prodml.config import load_config
    from prodml.errors import NotFoundError
    from prodml.views.runs import list_runs, show_run

    reader = options.require_reader(load_config(config))
    if run == "latest":
        newest = list_runs(reader, 1)
        if not newest:
            raise NotFoundError("there are no runs yet")
        run = newest[0].run_id
    detail = show_run(reader, run)
    if json:
        printing.print_json(detail)
        return
    head = detail.run
    say(f"run {head.run_id} of {head.pipeline}: {head.state}")
    say(f"started {printing.time_text(head.started)}, {printing.seconds_text(head.seconds)}")
    say(f"parameters {head.parameters}\n")
    printing.print_table(
        ["node", "state", "time", "memory", "rows", "reason"],
        [
            (
                node.node_id,
                node.state,
                printing.seconds_text(node.seconds) if node.seconds else "",
                printing.bytes_text(node.peak_memory),
                printing.rows_text(node.row_counts),
                node.message or node.reason,
            )
            for node in detail.nodes
        ],
    )
    for node in detail.nodes:
        for note in node.notes:
            say(f"\n{node.node_id}: {note}", end="")
    output_ids = {i for node in detail.nodes for ids in node.outputs.values() for i in ids}
    say("\n")
    printing.print_table(
        ["artifact", "type", "from", "uri"],
        [
            (str(a.id), a.type, a.producer, f"(deleted) {a.uri}" if a.state == "DELETED" else a.uri)
            for a in detail.artifacts
            if a.id in output_ids
        ],
    )
