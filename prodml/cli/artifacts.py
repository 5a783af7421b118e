"""`prodml artifacts`."""

from __future__ import annotations

from typing import Annotated

import typer

from prodml.cli.options import ConfigFile, Json, Limit
from prodml.cli.terminal import say


def artifacts(
    config: ConfigFile = None,
    type: Annotated[
        str | None, typer.Option("--type", metavar="T", help="Only this type, such as Model.")
    ] = None,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """List the newest artifacts."""
    from prodml.cli import options, printing
    from prodml.config import load_config
    from prodml.views.runs import list_artifacts

    loaded = load_config(config)
    reader = options.open_reader(loaded)
    found = list_artifacts(reader, limit, type) if reader else []
    if json:
        printing.print_json(found)
        return
    if not found:
        say(f"no matching artifacts in {loaded.metadata_connection}")
        return
    printing.print_table(
        ["id", "type", "state", "from", "created", "uri"],
        [
            (str(a.id), a.type, a.state, a.producer, printing.time_text(a.created), a.uri)
            for a in found
        ],
    )
