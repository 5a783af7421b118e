"""Arguments and options that several commands share, and the objects that they select."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from prodml.cli.terminal import say

if TYPE_CHECKING:
    from prodml.compiler.spec import PipelineSpec
    from prodml.config import RunConfig
    from prodml.metadata.reading import LineageReader
    from prodml.metadata.records import LeaseRecord

LARGEST_NUMBER = 2**63 - 1
"""ML Metadata's ids have 64 bits."""

PipelineFile: TypeAlias = Annotated[
    str, typer.Argument(metavar="PIPELINE.py", help="Python file with one @pipeline.")
]
ConfigFile: TypeAlias = Annotated[
    str | None, typer.Option("--config", metavar="F", help="Run configuration, a YAML file.")
]
Params: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="k=v", help="Runtime parameter; may be repeated."),
]
NoCache: TypeAlias = Annotated[
    bool, typer.Option("--no-cache", help="Run every node and ignore the cache.")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit: TypeAlias = Annotated[
    int, typer.Option("--limit", min=1, max=LARGEST_NUMBER, help="Maximum number, newest first.")
]


def load_spec_and_warn(
    path: str,
    values: Mapping[str, Any],
    params: Sequence[str] | None = None,
    *,
    module_roots: Sequence[str],
) -> PipelineSpec:
    """Loads the spec of the pipeline in a file, and warns of blessings that no node reads.

    Args:
        path: the pipeline file.
        values: runtime parameters, such as those of the configuration.
        params: `name=value` texts of --param, which override `values`.
        module_roots: directories that must contain all code; if empty, code may be anywhere.

    Raises:
        RequestError: the file, the pipeline or a parameter is invalid.
    """
    from prodml.compiler.unread_verdicts import unread_verdicts
    from prodml.orchestration.code.pipeline_file import load_spec

    spec = load_spec(path, values, params or (), module_roots=module_roots)
    for warning in unread_verdicts(spec):
        say(f"warning: {warning}", is_error=True)
    return spec


def open_reader(config: RunConfig) -> LineageReader | None:
    """Opens the metadata store for reading; None if it does not exist yet.

    Runs whose process died are recorded as FAILED first, so that none is shown as running.
    """
    import contextlib

    from prodml.errors import MetadataError
    from prodml.metadata.reading import LineageReader
    from prodml.orchestration.recovery.dead_runs import fail_dead_runs

    store = config.existing_store()
    if store is None:
        return None
    # A store without write permission can still be read.
    with contextlib.suppress(MetadataError):
        fail_dead_runs(store)
    return LineageReader(store)


def require_reader(config: RunConfig) -> LineageReader:
    """Opens the metadata store for reading.

    Raises:
        NotFoundError: the store does not exist yet.
    """
    from prodml.errors import NotFoundError

    reader = open_reader(config)
    if reader is None:
        raise NotFoundError(
            f"there is no metadata store at {config.metadata_connection}; run a pipeline first, "
            f"or select its configuration with --config"
        )
    return reader


def quiet_tensorflow() -> None:
    """Keeps TensorFlow from logging CPU instructions and missing GPUs; call before importing it."""
    import os

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def report_waiting(lease: LeaseRecord) -> None:
    """Prints that the command waits for a pipeline, and which run blocks it."""
    say(
        f"waiting for run {lease.run_id} of {lease.pipeline} (process {lease.holder.pid} on "
        f"{lease.holder.host})",
        is_error=True,
    )
