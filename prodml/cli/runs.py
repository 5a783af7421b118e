"""`prodml runs`."""

from __future__ import annotations

from typing import Annotated

import typer

from prodml.cli.options import ConfigFile, Json, Limit
from prodml.cli.terminal import say


def runs(
    config: ConfigFile = None,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", help="Only runs of this pipeline.")
    ] = None,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """List the newest runs."""
    from prodml.cli import options, printing
    from prodml.config import load_config
    from prodml.views.runs import list_runs

    loaded = load_config(config)
    reader = options.open_reader(loaded)
    found = list_runs(reader, limit, pipeline) if reader else []
    if json:
        printing.print_json(found)
        return
    if not found:
        say(f"no runs in {loaded.metadata_connection}; start one with: prodml run PIPELINE.py")
        return
    printing.print_table(
        ["run", "pipeline", "state", "started", "time"],
        [
            (
                run.run_id,
                run.pipeline,
                run.state,
                printing.time_text(run.started),
                printing.seconds_text(run.seconds) if run.seconds else "",
            )
            for run in found
        ],
    )
