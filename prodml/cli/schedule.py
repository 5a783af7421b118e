"""`prodml schedule`."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from prodml.cli.terminal import say

if TYPE_CHECKING:
    from prodml.retraining.scheduler import ScheduledPipeline


def schedule(
    pipelines: Annotated[
        list[str],
        typer.Argument(
            metavar="PIPELINE.py=CONFIG.yaml",
            help="Each pipeline with the run configuration that declares its retrain.schedule.",
        ),
    ],
) -> None:
    """Check the triggers of pipelines at the times of their configurations, until SIGTERM.

    Each check is a `prodml retrain` process. Checks that were missed while no scheduler ran are
    caught up by one check. Ctrl-C or SIGTERM cancels checks in progress and exits with 0; a second
    signal ends them at once.

    Example: prodml schedule pipelines/flights.py=configs/retrain.yaml
    """
    from prodml.retraining.scheduler import Scheduler

    def log(text: str) -> None:
        now = datetime.datetime.now().astimezone()
        say(f"{now.isoformat(sep=' ', timespec='seconds')}  {text}", flush=True)

    Scheduler([_scheduled(text) for text in pipelines], log).run()


def _scheduled(text: str) -> ScheduledPipeline:
    """The pipeline of an argument; everything that would fail later is checked at the start."""
    import sys
    import time

    from prodml.cli import options
    from prodml.config import load_config
    from prodml.errors import ConfigError, RequestError
    from prodml.metadata.trigger_claims import TriggerTable
    from prodml.retraining.clocks import require_agreeing_clock
    from prodml.retraining.cron import Cron
    from prodml.retraining.scheduler import ScheduledPipeline

    file, equals, config = text.rpartition("=")
    if not equals or not file or not config:
        raise RequestError(f"{text!r}: write PIPELINE.py=CONFIG.yaml")
    loaded = load_config(config)
    declared = loaded.retrain.schedule
    if declared is None:
        raise ConfigError(
            f"{config}: no schedule is declared; add one, such as retrain: {{schedule: {{cron: "
            f"'15 3 * * *', timezone: Europe/Berlin}}}}"
        )
    if not loaded.retrain.are_declared:
        raise ConfigError(f"{config}: no trigger is declared; add one, such as new_span: true")
    cron = Cron(declared.cron, declared.timezone)
    spec = options.load_spec_and_warn(file, loaded.params, module_roots=loaded.module_roots)
    store, now = loaded.open_store(), int(time.time() * 1000)
    require_agreeing_clock(store, spec.name, now)
    table = TriggerTable(store)
    checked = table.last_check(spec.name)
    if checked is None:
        # Nothing before the first start of a scheduler counts as missed.
        table.record_check(spec.name, now)
        checked = now
    command = [sys.executable, "-m", "prodml", "retrain", file, "--config", config]
    handled = datetime.datetime.fromtimestamp(min(checked, now) / 1000, datetime.UTC)
    return ScheduledPipeline(spec.name, command, cron, handled)
