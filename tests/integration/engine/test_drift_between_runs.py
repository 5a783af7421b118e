"""Drift from run to run on real flights: which statistics are compared, and what a find stops."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
from support.flight_rows import flight_rows
from support.silent import Silent

from prodml.compiler.compile import compile_pipeline
from prodml.dsl.user_code import load_module
from prodml.errors import RunFailedError
from prodml.orchestration.results import NodeResult, RunResult
from prodml.orchestration.run import run_pipeline
from prodml.orchestration.settings import RunSettings

PIPELINE = """
from pathlib import Path
from prodml import Channel, Input, Output, component, pipeline
from prodml.artifacts import ExampleAnomalies, Examples, ExampleStatistics, Schema
from prodml.components import (
    CsvExampleGen, ExampleValidator, ImportSchemaGen, LatestArtifactStrategy,
    LatestValidatedStatisticsStrategy, Resolver, StatisticsGen,
)

HERE = Path(__file__).parent

@component
def Summarize(examples: Input[Examples], statistics: Output[ExampleStatistics]):
    '''Statistics without splits, as Transform publishes them.'''

@component
def Train(examples: Input[Examples], model: Output[Schema]):
    pass

@pipeline(name="drifting")
def drifting(only_validated: bool):
    examples = CsvExampleGen(input_base=str(HERE / "data")).outputs["examples"]
    statistics = StatisticsGen(examples=examples).outputs["statistics"]
    Summarize(examples=examples)
    made = Channel(type=ExampleStatistics, producer_component_id="StatisticsGen")
    if only_validated:
        previous = Resolver(
            strategy_class=LatestValidatedStatisticsStrategy,
            statistics=made,
            anomalies=Channel(type=ExampleAnomalies),
        ).with_id("previous_statistics")
    else:
        previous = Resolver(
            strategy_class=LatestArtifactStrategy,
            config={"desired_num_of_artifacts": 2},
            statistics=made,
        ).with_id("previous_statistics")
    schema = ImportSchemaGen(schema_file=str(HERE / "schema.pbtxt")).outputs["schema"]
    ExampleValidator(
        statistics=statistics,
        schema=schema,
        previous_statistics=previous.outputs["statistics"],
        fail_on="ERROR",
    )
    Train(examples=examples)
"""

SCHEMA = """
feature {
  name: "carrier" type: BYTES presence { min_fraction: 1 } shape { dim { size: 1 } }
  drift_comparator { infinity_norm { threshold: 0.2 } }
}
feature { name: "distance" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
"""


class Workplace:
    """A directory with a pipeline, whose data can be replaced between runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "pipeline_file.py").write_text(PIPELINE)
        (root / "schema.pbtxt").write_text(SCHEMA)
        (root / "data").mkdir()

    def ingest(self, first: int, only_carrier: str | None = None) -> None:
        """Replaces the data by 300 flights, of one carrier or of all."""
        rows = flight_rows(first, 300).to_pydict()
        carriers = [value.decode() for value in rows["carrier"]]
        if only_carrier:
            carriers = [only_carrier] * len(carriers)
        table = pa.table({"carrier": carriers, "distance": [int(d) for d in rows["distance"]]})
        pyarrow.csv.write_csv(table, self.root / "data" / "flights.csv")

    def run(self, only_validated: bool = False) -> Mapping[str, NodeResult]:
        definition = load_module(str(self.root / "pipeline_file.py")).drifting
        settings = RunSettings(
            str(self.root / "metadata.db"), str(self.root / "artifacts"), str(self.root / "logs")
        )
        try:
            spec = compile_pipeline(definition.build({"only_validated": only_validated}))
            result = run_pipeline(spec, settings, Silent())
        except RunFailedError as failed:
            assert isinstance(failed.result, RunResult)
            result = failed.result
        return {node.node_id: node for node in result.nodes}


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def test_drift_from_the_run_before_stops_what_consumes_the_examples(work: Workplace) -> None:
    work.ingest(0)
    first = work.run()
    assert first["Train"].state == "complete"
    assert any("drift of `carrier` was not checked" in n for n in first["ExampleValidator"].notes)

    work.ingest(300)
    second = work.run()
    assert second["Train"].state == "complete"
    assert any("within the threshold 0.2" in note for note in second["ExampleValidator"].notes)

    work.ingest(600, only_carrier="UA")
    for _ in range(2):
        # The second time, the newest statistics are those that drifted.
        drifted = work.run()
        assert drifted["ExampleValidator"].state == "failed"
        assert "The Linfty distance between current and previous" in (
            drifted["ExampleValidator"].message
        )
        assert drifted["Train"].state == "skipped"
        assert drifted["Train"].message == (
            "ExampleValidator failed, and guards CsvExampleGen.examples"
        )


def test_what_was_rejected_is_no_measure_of_what_comes_after_it(work: Workplace) -> None:
    work.ingest(0)
    assert work.run(only_validated=True)["Train"].state == "complete"
    for first in (300, 600):
        work.ingest(first, only_carrier="UA")
        assert work.run(only_validated=True)["ExampleValidator"].state == "failed"
    work.ingest(900)
    assert work.run(only_validated=True)["Train"].state == "complete"


def test_an_unchanged_run_is_cached(work: Workplace) -> None:
    work.ingest(0)
    work.run(only_validated=True)
    assert work.run(only_validated=True)["ExampleValidator"].state == "cached"
