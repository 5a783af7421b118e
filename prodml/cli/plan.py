"""`prodml plan`."""

from __future__ import annotations

from prodml.cli.options import ConfigFile, Json, NoCache, Params, PipelineFile


def plan(
    pipeline: PipelineFile,
    config: ConfigFile = None,
    param: Params = None,
    no_cache: NoCache = False,
    json: Json = False,
) -> None:
    """Show what a run would do with each node, and why, without running anything."""
    import os
    import tempfile

    from prodml.cli import options, printing
    from prodml.config import load_config
    from prodml.metadata.reading import LineageReader
    from prodml.metadata.store import Store
    from prodml.orchestration.resolve.plan import make_plan

    loaded = load_config(config)
    spec = options.load_spec_and_warn(
        pipeline, loaded.params, param, module_roots=loaded.module_roots
    )
    with tempfile.TemporaryDirectory() as empty:
        # A plan must not create a store, so without one it reads an empty temporary store.
        store = loaded.existing_store() or Store(os.path.join(empty, "metadata.db"))
        result = make_plan(spec, LineageReader(store), use_cache=not no_cache, keras=loaded.keras)
    if json:
        printing.print_json(result)
        return
    printing.print_table(
        ["node", "action", "reason"], [(n.node_id, n.action, n.reason) for n in result.nodes]
    )
