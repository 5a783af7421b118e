"""Runs a pipeline for the commands that do: signals, progress, warnings and summary."""

from __future__ import annotations

import contextlib
import gc
import os
from typing import TYPE_CHECKING

from prodml.cli.terminal import lost_output_dropped, plain

if TYPE_CHECKING:
    from prodml.compiler.spec import PipelineSpec
    from prodml.config import RunConfig
    from prodml.keras_choice import KerasName
    from prodml.metadata.records import RunRecord
    from prodml.orchestration.ownership.leases import Wait
    from prodml.orchestration.results import RunResult
    from prodml.orchestration.settings import RunSettings


def prepare_process(config: RunConfig) -> KerasName | None:
    """Prepares this process for a run; call before the pipeline file is loaded.

    Returns:
        The Keras that the environment asked for; None if it did not.
    """
    from prodml import keras_choice

    # TensorFlow and Beam create millions of objects that live until exit. With Python's default
    # thresholds, the garbage collector spends a tenth of a run's processor time on them.
    gc.set_threshold(50_000, 20, 10)
    requested = keras_choice.from_environment()
    # Before the pipeline file is loaded, because it may import TensorFlow.
    keras_choice.choose(config.keras)
    return requested


def run_and_summarize(
    spec: PipelineSpec,
    config: RunConfig,
    settings: RunSettings,
    requested: KerasName | None,
    resumed: RunRecord | None = None,
    wait: Wait | None = None,
    is_quiet: bool = False,
) -> RunResult:
    """Runs a pipeline to its end, shows its progress, and prints its summary.

    Args:
        spec: the pipeline.
        config: the run configuration.
        settings: the settings of the run.
        requested: the result of `prepare_process`.
        resumed: an unsuccessful run to resume.
        wait: called with the lease of another run; None to fail if the pipeline is in use.
        is_quiet: whether to keep standard output free: the progress goes to standard error, and
            there is no summary.

    Raises:
        ProdmlError: as `run_pipeline`.
    """
    from prodml import keras_choice
    from prodml.cli import options
    from prodml.cli.progress import follow
    from prodml.cli.summary import print_summary
    from prodml.errors import RunFailedError
    from prodml.orchestration.launch.cancellation import cancellable
    from prodml.orchestration.recovery.dead_runs import cancel_run_of_this_process
    from prodml.orchestration.resolve.keras_choices import keras_choices
    from prodml.orchestration.results import RunResult
    from prodml.orchestration.run import Callbacks, run_pipeline

    # While a node runs, standard error is redirected to the node's log.
    terminal = os.dup(2)

    def warn(text: str) -> None:
        _write(terminal, f"warning: {text}\n")

    callbacks = Callbacks(open_sinks=config.event_sinks(), wait=wait, warn=warn)
    chosen = keras_choices(spec, config.keras).process
    if requested not in (None, chosen):
        warn(
            f"{keras_choice.VARIABLE} in the environment is ignored: tf.keras is {chosen}; to "
            f"change it, set keras: {requested} in the configuration"
        )

    def cancel_run() -> None:
        cancel_run_of_this_process(settings.open_store(warn))

    def summarize(result: RunResult) -> None:
        if not is_quiet:
            with lost_output_dropped():
                print_summary(result, options.require_reader(config))

    try:
        with (
            cancellable(cancel_run, config.grace_seconds),
            follow([node.id for node in spec.nodes], descriptor=2 if is_quiet else 1) as observer,
        ):
            result = run_pipeline(spec, settings, observer, resumed, callbacks)
    except RunFailedError as failure:
        if isinstance(failure.result, RunResult):
            summarize(failure.result)
        raise
    summarize(result)
    return result


def check_pushed(result: RunResult, config: RunConfig) -> None:
    """Checks that the run's model is the newest pushed version.

    Raises:
        NotPushedError: no model was pushed, or another version is newer.
    """
    from prodml.cli import options
    from prodml.cli.summary import was_pushed
    from prodml.errors import NotPushedError

    if not was_pushed(result, options.require_reader(config)):
        raise NotPushedError(
            "the run is complete, but no model was pushed, or another version is newer"
        )


def _write(descriptor: int, text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(descriptor, plain(text).encode())
