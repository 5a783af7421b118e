"""`prodml root`."""

from __future__ import annotations

from typing import Annotated

import typer

from prodml.cli.options import ConfigFile, Json
from prodml.cli.terminal import say

app = typer.Typer(help="Show or change which metadata store the pipeline root belongs to.")


@app.callback()
def root() -> None:
    """Show or change which metadata store the pipeline root belongs to."""


@app.command("status")
def status(config: ConfigFile = None, json: Json = False) -> None:
    """Show which metadata store the configured pipeline root belongs to."""
    from prodml.cli import printing
    from prodml.config import load_config
    from prodml.metadata.identity import known_store_id
    from prodml.orchestration.ownership.root_ownership import owner_of, place_of
    from prodml.storage.locations import normalized

    loaded = load_config(config)
    store = loaded.existing_store()
    own_id = None if store is None else known_store_id(store)
    owner = owner_of(loaded.artifacts_path)
    shown = {
        "pipeline_root": normalized(loaded.artifacts_path),
        "belongs_to": owner.connection if owner else None,
        "metadata": place_of(loaded.metadata_connection),
        "is_own": owner is not None and owner.store_id == own_id,
    }
    if json:
        printing.print_json(shown)
        return
    say(f"pipeline root  {shown['pipeline_root']}")
    say(f"belongs to     {shown['belongs_to'] or 'no metadata store yet; the first run sets it'}")
    say(f"metadata       {shown['metadata']}")
    if owner is not None and not shown["is_own"]:
        say("the stores differ, so a run would be refused; see prodml root adopt --help")


@app.command("adopt")
def adopt(
    config: ConfigFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation prompt.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for pipelines that are in use.")
    ] = False,
) -> None:
    """Adopt the configured pipeline root from a metadata store that no longer exists.

    Artifacts that the configured store does not know are moved unchanged to a dotted directory in
    the root. The other store, if it still exists, does not find them there.
    """
    from prodml.cli import options
    from prodml.config import load_config
    from prodml.orchestration.ownership.root_ownership import adopt as adopt_root
    from prodml.orchestration.ownership.root_ownership import place_of
    from prodml.storage.locations import normalized

    loaded = load_config(config)
    root, store = normalized(loaded.artifacts_path), place_of(loaded.metadata_connection)
    if not yes:
        typer.confirm(f"adopt {root} for the metadata store {store}?", abort=True)
    aside = adopt_root(root, loaded.open_store, options.report_waiting if wait else None)
    say(f"{root} belongs to {store}")
    if aside is not None:
        say(f"artifacts of the other store are in {aside}")
