"""`prodml run`."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from prodml.cli.options import ConfigFile, NoCache, Params

if TYPE_CHECKING:
    from prodml.compiler.spec import PipelineSpec
    from prodml.config import RunConfig
    from prodml.metadata.records import RunRecord

_NEWEST = "newest"


class RunCommand(TyperCommand):
    """Accepts `--resume` with and without a run id."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _with_run_to_resume(args))


def run(
    pipeline: Annotated[
        str | None,
        typer.Argument(
            metavar="PIPELINE.py",
            help="Python file with one @pipeline. Default with --resume: the file of that run.",
        ),
    ] = None,
    config: ConfigFile = None,
    param: Params = None,
    no_cache: NoCache = False,
    require_push: Annotated[
        bool,
        typer.Option(
            "--require-push",
            help="Exit with 3 if no model of this run is the newest pushed version.",
        ),
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="[RUN]",
            help="Resume a run that did not succeed, by default the newest, with the same "
            "parameters. Completed nodes do not run again.",
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="If another run uses the pipeline, wait until it has ended."),
    ] = False,
) -> None:
    """Run a pipeline. Nodes that have not changed since an earlier run come from the cache.

    Ctrl-C or SIGTERM cancels the run within the configuration's grace_seconds; a second signal
    ends it at once. `prodml run --resume` continues the run in both cases.
    """
    from prodml.cli import options, running
    from prodml.config import load_config

    loaded = load_config(config)
    requested = running.prepare_process(loaded)
    spec, resumed = _spec_and_run_to_resume(pipeline, loaded, param, resume)
    settings = dataclasses.replace(
        loaded.run_settings(use_cache=not no_cache and (resumed is None or resumed.use_cache)),
        pipeline_file=os.path.abspath(pipeline) if pipeline else "",
    )
    wait_for = options.report_waiting if wait else None
    result = running.run_and_summarize(spec, loaded, settings, requested, resumed, wait_for)
    if require_push:
        running.check_pushed(result, loaded)


def _spec_and_run_to_resume(
    pipeline: str | None, config: RunConfig, params: list[str] | None, resume: str | None
) -> tuple[PipelineSpec, RunRecord | None]:
    from prodml.cli import options
    from prodml.errors import RequestError

    if resume is None:
        if pipeline is None:
            raise RequestError("name the pipeline: prodml run PIPELINE.py")
        roots = config.module_roots
        return (
            options.load_spec_and_warn(pipeline, config.params, params, module_roots=roots),
            None,
        )
    if params:
        raise RequestError("a resumed run keeps its parameters: remove --param")
    resumed = _run_to_resume(config, resume)
    file = pipeline or resumed.pipeline_file
    if not os.path.isfile(file):
        raise RequestError(
            f"run {resumed.run_id} was started from {file or 'Python'}, which is not a file on "
            f"this machine; name the pipeline: prodml run PIPELINE.py --resume {resumed.run_id}"
        )
    spec = options.load_spec_and_warn(
        file,
        json.loads(resumed.parameters),
        module_roots=config.module_roots,
    )
    if spec.name != resumed.pipeline:
        raise RequestError(
            f"run {resumed.run_id} is of pipeline {resumed.pipeline}, but {pipeline} defines "
            f"{spec.name}"
        )
    return spec, resumed


def _run_to_resume(config: RunConfig, resume: str) -> RunRecord:
    from prodml.cli import options
    from prodml.errors import NotFoundError, RequestError
    from prodml.metadata.records import RunState

    reader = options.require_reader(config)
    if resume == _NEWEST:
        newest = reader.runs(1)
        if not newest:
            raise NotFoundError("there is no run to resume")
        found = newest[0]
    else:
        found = reader.run(resume)
    if found.state is RunState.COMPLETE:
        raise RequestError(f"run {found.run_id} is complete; there is nothing to resume")
    return found


def _with_run_to_resume(args: list[str]) -> list[str]:
    """Adds `newest` after a `--resume` that has no run id."""
    if "--resume" not in args:
        return args
    place = args.index("--resume") + 1
    following = args[place] if place < len(args) else "--"
    if not following.startswith("-") and not following.endswith(".py"):
        return args
    return [*args[:place], _NEWEST, *args[place:]]
