"""Facts that are read from a real store, and the errors of triggers that do not fit it."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tensorflow_data_validation as tfdv

from prodml.artifacts import Artifact, Examples, ExampleStatistics, Model, ModelEvaluation
from prodml.errors import ClockError, ConfigError, NotFoundError
from prodml.metadata.leases import LeaseTable
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import Attempt, ProcessRecord
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.code.pipeline_file import load_spec
from prodml.retraining.check import check_triggers
from prodml.retraining.decision import Answer
from prodml.retraining.facts import Facts, ModelFact
from prodml.retraining.reading import read_facts
from prodml.retraining.triggers import Triggers

PIPELINE = """
from prodml import Output, component, pipeline
from prodml.artifacts import ExampleStatistics, Model, ModelEvaluation

@component
def Train(model: Output[Model], statistics: Output[ExampleStatistics]):
    pass

@component
def Evaluate(evaluation: Output[ModelEvaluation]):
    pass

@pipeline(name="small")
def small():
    Train()
    Evaluate()
"""


class Recorded:
    """A store, and a pipeline whose runs are recorded without running anything."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = Store(str(root / "metadata.db"))
        self._writer = LineageWriter(self.store)
        self._numbers = itertools.count(1)
        (root / "small.py").write_text(PIPELINE)
        self.spec = load_spec(str(root / "small.py"), {}, module_roots=())

    def made(
        self, node: str, key: str, output: Artifact, *inputs: Artifact, pipeline: str = "small"
    ) -> Any:
        """Records that a node of a pipeline produced an artifact."""
        output.custom_properties.update(producer_component=node, output_key=key)
        output.final_uri = output.uri
        given: Mapping[str, Sequence[Artifact]] = {"input": inputs} if inputs else {}
        attempt = Attempt(pipeline, f"run-{next(self._numbers)}", node, node)
        execution = self._writer.begin_execution(attempt, {}, given)
        output.id = self._writer.complete_execution(execution, {}, {key: [output]})[key][0]
        return output

    def statistics(self, name: str, values: list[float], *of: Examples, pipeline: str) -> None:
        """Records statistics of rows with one feature, `x`."""
        artifact = ExampleStatistics(uri=str(self.root / name))
        artifact.split_names = ["train"]
        directory = Path(artifact.split_uri("train"))
        directory.mkdir(parents=True)
        frame = pd.DataFrame({"x": values})
        found = tfdv.generate_statistics_from_dataframe(frame)
        (directory / "FeatureStats.pb").write_bytes(found.SerializeToString())
        self.made("StatisticsGen", "statistics", artifact, *of, pipeline=pipeline)

    def facts(self, **triggers: Any) -> Facts:
        reader, now = LineageReader(self.store), int(time.time() * 1000)
        return read_facts(self.spec, reader, Triggers(**triggers), "tf_keras", now)


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path)


def test_the_newest_model_is_read_with_its_age(recorded: Recorded) -> None:
    assert recorded.facts(older_than_days=7).model is None
    recorded.made("Train", "model", Model(uri="/1"))
    newest = recorded.made("Train", "model", Model(uri="/2"))
    recorded.made("Train", "model", Model(uri="/3"), pipeline="other")
    model = recorded.facts(older_than_days=7).model
    assert isinstance(model, ModelFact) and model.id == newest.id


def test_drift_is_measured_between_the_newest_statistics_and_those_of_the_models_data(
    recorded: Recorded,
) -> None:
    examples = recorded.made("Gen", "examples", Examples(uri="/examples"))
    low, high = [float(n % 10) for n in range(100)], [float(n % 10 + 9) for n in range(100)]
    recorded.statistics("first", low, examples, pipeline="small")
    recorded.made("Train", "model", Model(uri="/model"), examples)
    assert recorded.facts(drift={"x": 0.1}).drift.values == {"x": 0.0}
    recorded.statistics("alike", low, pipeline="watching")
    assert recorded.facts(drift={"x": 0.1}, monitored_by="watching").drift.values["x"] < 0.01
    recorded.statistics("other", high, pipeline="watching")
    measured = recorded.facts(drift={"x": 0.1}, monitored_by="watching").drift
    assert measured.values["x"] > 0.5
    assert measured.source == "statistics 5, compared with 2"
    with pytest.raises(
        ConfigError, match="statistics 5 have no feature 'X'; did you mean|known: x"
    ):
        recorded.facts(drift={"X": 0.1}, monitored_by="watching")


def test_without_statistics_the_drift_is_unknown_with_a_reason(recorded: Recorded) -> None:
    recorded.made("Train", "model", Model(uri="/model"))
    drift = recorded.facts(drift={"x": 0.1}).drift
    assert drift.absence == "there are no statistics of the runs of small"


def test_metrics_of_the_newest_evaluation_are_read(recorded: Recorded) -> None:
    assert recorded.facts(performance_below={"auc": 0.7}).metrics.absence
    for number, auc in enumerate([0.8, 0.6]):
        evaluation = ModelEvaluation(uri=f"/{number}")
        evaluation.custom_properties["metrics"] = json.dumps({"auc": auc})
        recorded.made("Evaluate", "evaluation", evaluation)
    assert recorded.facts(performance_below={"auc": 0.7}).metrics.values == {"auc": 0.6}
    with pytest.raises(ConfigError, match="no metric 'acu' over all rows; did you mean 'auc'"):
        recorded.facts(performance_below={"acu": 0.7})


def test_an_evaluation_without_recorded_metrics_is_an_error(recorded: Recorded) -> None:
    recorded.made("Evaluate", "evaluation", ModelEvaluation(uri="/old"))
    with pytest.raises(ConfigError, match="has no recorded metrics"):
        recorded.facts(performance_below={"auc": 0.7})


def test_a_trigger_about_something_that_the_pipeline_lacks_is_an_error(recorded: Recorded) -> None:
    with pytest.raises(
        ConfigError, match="retrain.new_span: pipeline small has no node that reads"
    ):
        recorded.facts(new_span=True)
    with pytest.raises(NotFoundError, match="no pipeline 'smal' has run"):
        recorded.facts(performance_below={"auc": 0.7}, monitored_by="smal")


def test_a_record_from_the_future_is_an_error_that_names_both_clocks(recorded: Recorded) -> None:
    now, ahead = int(time.time() * 1000), 15 * 60 * 1000
    recorded.made("Train", "model", Model(uri="/model"))
    triggers = Triggers(older_than_days=7)
    with pytest.raises(ClockError, match="model 1 of pipeline small .* differ by at least 9.. s"):
        check_triggers(recorded.spec, recorded.store, triggers, "tf_keras", now - ahead)
    holder = ProcessRecord("other-host", "boot", 1, "token")
    LeaseTable(recorded.store).acquire("small", 1, "run-7", holder)
    with pytest.raises(ClockError, match="run run-7 of pipeline small on other-host was recorded"):
        check_triggers(recorded.spec, recorded.store, triggers, "tf_keras", now - ahead)
    decision = check_triggers(recorded.spec, recorded.store, triggers, "tf_keras", now)
    assert [verdict.answer for verdict in decision.verdicts] == [Answer.NOT_DUE]
