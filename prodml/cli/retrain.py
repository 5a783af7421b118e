"""`prodml retrain`."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prodml.cli.options import ConfigFile, Json, Params, PipelineFile

if TYPE_CHECKING:
    from prodml.retraining.decision import Decision

NOTHING_STARTED = 4
"""Exit code if no run was started: none is due, or another process runs the pipeline."""


def retrain(
    pipeline: PipelineFile,
    config: ConfigFile = None,
    param: Params = None,
    require_push: Annotated[
        bool,
        typer.Option(
            "--require-push",
            help="Exit with 3 if a run was due, but no model of it is the newest pushed version.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Run a pipeline if one of the triggers in its configuration is due, and show why.

    Exit codes: 0 a run was due and succeeded, 4 no run was started, because none is due or another
    process runs the pipeline; 1, 2, 3 and 130 as `prodml run`. A run that failed, died or was
    cancelled is repeated by later calls, at most retrain.max_attempts times for the same data,
    code and parameters; then the exit code is 1 until one of them changes.
    """
    from prodml.cli import options, running
    from prodml.config import load_config
    from prodml.errors import (
        BusyError,
        ClaimedError,
        ProdmlError,
        RetriesUsedUpError,
        RunFailedError,
    )
    from prodml.metadata.trigger_claims import TriggerTable
    from prodml.retraining.check import check_triggers
    from prodml.retraining.decision import Action

    loaded = load_config(config)
    requested = running.prepare_process(loaded)
    spec = options.load_spec_and_warn(
        pipeline, loaded.params, param, module_roots=loaded.module_roots
    )
    store, now = loaded.open_store(), int(time.time() * 1000)
    decision = check_triggers(spec, store, loaded.retrain, loaded.keras, now)
    report = _Report(spec.name, decision, json)
    # Recorded when the check has ended: a check that died counts as missed.
    checked = TriggerTable(store)
    if decision.action is Action.RUN:
        settings = dataclasses.replace(
            loaded.run_settings(use_cache=True),
            pipeline_file=os.path.abspath(pipeline),
            claims=decision.claims,
        )
        report.start()
        try:
            result = running.run_and_summarize(spec, loaded, settings, requested, is_quiet=json)
        except (BusyError, ClaimedError) as error:
            checked.record_check(spec.name, now)
            # The rest of the message is advice for prodml run.
            report.end("in progress", message=str(error).partition("; ")[0])
            raise typer.Exit(NOTHING_STARTED) from None
        except ProdmlError as error:
            if error.exit_code != 130:
                checked.record_check(spec.name, now)
            failed_run = error.run_id if isinstance(error, RunFailedError) else ""
            outcome = "cancelled" if error.exit_code == 130 else "failed"
            report.end(outcome, failed_run, message=str(error))
            raise
        checked.record_check(spec.name, now)
        report.end("succeeded", result.run_id)
        if require_push:
            running.check_pushed(result, loaded)
        return
    checked.record_check(spec.name, now)
    if decision.action is Action.GIVE_UP:
        message = (
            f"a run of pipeline {spec.name} is due, but {loaded.retrain.max_attempts} runs for "
            f"the same data, code and parameters did not complete; fix the cause, see `prodml "
            f"runs`, then use prodml run --resume, or change one of them"
        )
        report.end("gave up", message=message)
        raise RetriesUsedUpError(message)
    report.end("in progress" if decision.action is Action.WAIT else "not due")
    raise typer.Exit(NOTHING_STARTED)


class _Report:
    """Prints the decision and what came of it: a table and lines, or one JSON document."""

    def __init__(self, pipeline: str, decision: Decision, is_json: bool) -> None:
        self._pipeline = pipeline
        self._decision = decision
        self._is_json = is_json

    def start(self) -> None:
        """Prints why a run starts."""
        from prodml.cli.terminal import say

        if not self._is_json:
            self._print_table()
            say(f"\npipeline {self._pipeline} is due: it runs now\n", flush=True)

    def end(self, outcome: str, run_id: str = "", message: str = "") -> None:
        """Prints the outcome: succeeded, failed, cancelled, not due, in progress or gave up."""
        from prodml.cli import printing
        from prodml.cli.terminal import lost_output_dropped, say
        from prodml.secrets import redact

        with lost_output_dropped():
            if self._is_json:
                document: dict[str, Any] = {
                    "pipeline": self._pipeline,
                    "outcome": outcome,
                    "run_id": run_id,
                    "message": redact(message),
                    "triggers": [dataclasses.asdict(v) for v in self._decision.verdicts],
                }
                printing.print_json(document)
            elif outcome in ("not due", "in progress"):
                if not message:
                    self._print_table()
                why = f": {message}" if message else ""
                say(f"\npipeline {self._pipeline}: {outcome}{why}; no run was started")
            elif outcome == "gave up":
                self._print_table()

    def _print_table(self) -> None:
        from prodml.cli import printing

        printing.print_table(
            ["trigger", "value", "threshold", "answer", "reason"],
            [
                (v.trigger, v.value, v.threshold, v.answer, v.reason)
                for v in self._decision.verdicts
            ],
        )
