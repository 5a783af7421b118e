"""Checks the triggers of a pipeline: facts, decision, and the runs that keys have started."""

from __future__ import annotations

from prodml.compiler.spec import PipelineSpec
from prodml.errors import ConfigError, NotFoundError
from prodml.keras_choice import KerasName
from prodml.metadata.reading import LineageReader
from prodml.metadata.store import Store
from prodml.metadata.trigger_claims import TriggerTable
from prodml.orchestration.recovery.dead_runs import fail_dead_runs
from prodml.retraining.clocks import require_agreeing_clock
from prodml.retraining.decision import Answer, Decision, StartedRun, decide, evaluate
from prodml.retraining.reading import read_facts
from prodml.retraining.triggers import Triggers


def check_triggers(
    spec: PipelineSpec, store: Store, triggers: Triggers, keras: KerasName, now: int
) -> Decision:
    """Decides whether a run of a pipeline is due and may start.

    Runs whose process died are recorded as FAILED first, so that they do not hold their keys.

    Args:
        spec: the pipeline.
        store: its metadata store.
        triggers: the declared triggers.
        keras: what `tf.keras` means for nodes that do not choose it themselves.
        now: the current time in Unix ms.

    Raises:
        ConfigError: no trigger is declared, or one does not fit the pipeline.
        ClockError: the newest run or model is from the future.
        NodeError: the data cannot be found.
        MetadataError: the store does not respond.
    """
    if not triggers.are_declared:
        raise ConfigError(
            f"no trigger is declared for pipeline {spec.name}; add one to the configuration, such "
            f"as retrain: {{new_span: true}}"
        )
    require_agreeing_clock(store, spec.name, now)
    fail_dead_runs(store)
    reader, table = LineageReader(store), TriggerTable(store)
    verdicts = evaluate(triggers, read_facts(spec, reader, triggers, keras, now))
    keys = {verdict.key for verdict in verdicts if verdict.answer is Answer.DUE}
    started = {
        key: [_started(reader, run_id) for run_id in table.run_ids(spec.name, key)] for key in keys
    }
    return decide(verdicts, started, triggers.max_attempts)


def _started(reader: LineageReader, run_id: str) -> StartedRun:
    try:
        return StartedRun(run_id, reader.run(run_id).state)
    except NotFoundError:
        return StartedRun(run_id, None)
