"""Runs a compiled pipeline: what is cached is settled at once, what is left goes to Beam."""

from __future__ import annotations

import datetime
import json
import os
import secrets
import time
from dataclasses import dataclass, field

from prodml.beam.profiles import RunnerProfile
from prodml.compiler.spec import PipelineSpec
from prodml.errors import CancelledError, RunFailedError
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import RunState
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.capture import captured
from prodml.orchestration.launcher import Launcher
from prodml.orchestration.prepare import Preparer
from prodml.orchestration.results import NodeResult, Observer, RunResult


@dataclass(frozen=True)
class RunSettings:
    """Where a run keeps what it makes.

    Attributes:
        metadata_path: SQLite file of ML Metadata.
        pipeline_root: directory of artifacts; each pipeline has its own below it.
        log_root: directory of captured output; each run has its own below it.
        runner: the Beam runner of data-parallel executors.
        use_cache: False runs every node.
    """

    metadata_path: str
    pipeline_root: str
    log_root: str
    runner: RunnerProfile = field(default_factory=RunnerProfile)
    use_cache: bool = True


def run_pipeline(spec: PipelineSpec, settings: RunSettings, observer: Observer) -> RunResult:
    """Runs a pipeline to its end; independent branches go on when one fails.

    Raises:
        RunFailedError: a node failed; carries each node's cause. The result is in its `result`.
        CancelledError: a KeyboardInterrupt came; nothing is half-published.
        MetadataError: the store refused a read or write.
    """
    started = time.monotonic()
    run_id = new_run_id()
    store = Store(settings.metadata_path)
    reader, writer = LineageReader(store), LineageWriter(store)
    writer.begin_run(
        spec.name, run_id, json.dumps({p.name: p.value for p in spec.parameters}, sort_keys=True)
    )
    launcher = Launcher(
        spec,
        run_id,
        Preparer(spec, reader, settings.use_cache),
        reader,
        writer,
        os.path.join(settings.pipeline_root, spec.name),
        os.path.join(settings.log_root, run_id),
        settings.runner,
        observer,
    )
    try:
        ended = _run_nodes(spec, run_id, launcher, os.path.join(settings.log_root, run_id))
    except BaseException as error:
        if launcher.is_cancelled or isinstance(error, KeyboardInterrupt):
            writer.end_run(run_id, RunState.CANCELED, "stopped by the user or the system")
            raise CancelledError(
                f"run {run_id} was cancelled; what had ended is kept, run it again to go on"
            ) from error
        writer.end_run(run_id, RunState.FAILED, f"{type(error).__name__}: {error}")
        raise
    result = RunResult(run_id, spec.name, ended, time.monotonic() - started)
    if result.is_success:
        writer.end_run(run_id, RunState.COMPLETE)
        return result
    failure = RunFailedError(run_id, [(node.node_id, node.message) for node in result.failures])
    failure.result = result
    writer.end_run(run_id, RunState.FAILED, str(failure))
    raise failure


def new_run_id() -> str:
    """A unique id that sorts by time, in UTC: `20260131-235959-1a2b3c`."""
    now = datetime.datetime.now(datetime.UTC)
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def _run_nodes(
    spec: PipelineSpec, run_id: str, launcher: Launcher, log_dir: str
) -> tuple[NodeResult, ...]:
    settled: dict[str, NodeResult] = {}
    left = []
    for node in spec.nodes:
        if all(id in settled for id in node.upstream):
            result = launcher.settle(node, {id: settled[id] for id in node.upstream})
            if isinstance(result, NodeResult):
                settled[node.id] = result
                continue
        left.append(node)
    if left:
        with captured(os.path.join(log_dir, "beam.log")):
            # Only now: a run that is fully cached never pays for importing Beam.
            from prodml.orchestration.dag import run_nodes

            settled |= run_nodes(run_id, launcher, left, settled)
    return tuple(settled[node.id] for node in spec.nodes)
