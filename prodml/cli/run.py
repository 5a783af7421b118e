"""`prodml run`."""

from __future__ import annotations

import gc
import signal
from typing import Annotated

import typer

from prodml.cli.options import ConfigFile, NoCache, Params, PipelineFile


def run(
    pipeline: PipelineFile,
    config: ConfigFile = None,
    param: Params = None,
    no_cache: NoCache = False,
    require_push: Annotated[
        bool, typer.Option("--require-push", help="Exit with 3 when no model was pushed.")
    ] = False,
) -> None:
    """Run a pipeline: what has not changed since an earlier run is taken from the cache."""
    from prodml.cli import options
    from prodml.cli.progress import follow
    from prodml.cli.summary import print_summary
    from prodml.config import load_config
    from prodml.errors import NotPushedError, RunFailedError
    from prodml.orchestration.results import RunResult
    from prodml.orchestration.run import run_pipeline

    # TensorFlow and Beam are millions of objects that live to the end: at Python's own setting a
    # tenth of a run's processor time goes into looking for garbage among them.
    gc.set_threshold(50_000, 20, 10)
    # A scheduler stops a job with SIGTERM: it ends as Ctrl-C does, recorded as cancelled.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    loaded = load_config(config)
    spec = options.load_spec(pipeline, loaded, param)
    settings = loaded.run_settings(use_cache=not no_cache)
    try:
        with follow([node.id for node in spec.nodes]) as observer:
            result = run_pipeline(spec, settings, observer)
    except RunFailedError as failure:
        if isinstance(failure.result, RunResult):
            print_summary(failure.result, options.require_reader(loaded))
        raise
    was_pushed = print_summary(result, options.require_reader(loaded))
    if require_push and not was_pushed:
        raise NotPushedError("the run is complete, but no model was pushed")
