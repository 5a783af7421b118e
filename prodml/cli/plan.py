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
    """Show what a run would do with each node, and why, without doing it."""
    from prodml.cli import options, printing
    from prodml.config import load_config
    from prodml.metadata.reading import LineageReader
    from prodml.orchestration.plan import make_plan

    loaded = load_config(config)
    spec = options.load_spec(pipeline, loaded.params, param, module_roots=loaded.module_roots)
    made = make_plan(spec, LineageReader(loaded.open_store()), use_cache=not no_cache)
    if json:
        printing.print_json(made)
        return
    printing.print_table(
        ["node", "would", "because"], [(n.node_id, n.action, n.reason) for n in made.nodes]
    )
