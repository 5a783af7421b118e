"""Components write the same bytes on the local runner as on Beam's own."""

import os
from pathlib import Path
from typing import Any

import pytest
import tensorflow_data_validation as tfdv
import tensorflow_transform as tft
from support.flights_with_gaps import flights, write_flights
from support.running import execute
from support.statistics_on_disk import write_schema

from prodml.artifacts import Examples, Schema
from prodml.beam.profiles import RunnerProfile
from prodml.components.statistics_gen.component import StatisticsGen, StatsOptions
from prodml.components.transform.component import Transform
from prodml.data.examples_layout import PayloadFormat
from prodml.dsl.channel import Channel
from prodml.dsl.executor import ExecutorContext

MODULE = str(Path(__file__).parents[2] / "support" / "flights_preprocessing.py")
# With an option of its own the profile gives FnApiRunner as Beam has it.
BEAMS_OWN = RunnerProfile(options={"direct_num_workers": 1})


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    splits = {"train": flights(0, 300), "eval": flights(300, 40)}
    return write_flights(tmp_path / "raw", PayloadFormat.PARQUET, splits)


def files(directory: str) -> dict[str, bytes]:
    return {
        os.path.relpath(os.path.join(folder, name), directory): Path(folder, name).read_bytes()
        for folder, _, names in os.walk(directory)
        for name in names
    }


def outputs(context: ExecutorContext) -> dict[str, dict[str, bytes]]:
    return {key: files(artifact.uri) for key, artifact in context.outputs.items()}


@pytest.mark.parametrize(
    "options", [StatsOptions(), StatsOptions(enable_semantic_domain_stats=True)]
)
def test_statistics_are_the_same(tmp_path: Path, examples: Examples, options: StatsOptions) -> None:
    def run(beam: RunnerProfile) -> dict[str, dict[str, bytes]]:
        node = StatisticsGen(examples=Channel(type=Examples), stats_options=options)
        return outputs(execute(node, {"examples": examples}, tmp_path, beam=beam))

    assert run(RunnerProfile()) == run(BEAMS_OWN)


def test_transformed_examples_statistics_vocabularies_and_cache_are_the_same(
    tmp_path: Path, examples: Examples
) -> None:
    frame = flights(0, 700).to_pandas()
    frame["air_time"] = frame["air_time"].astype("float32")
    schema = tfdv.infer_schema(tfdv.generate_statistics_from_dataframe(frame, n_jobs=1))

    def run(beam: RunnerProfile) -> ExecutorContext:
        channels: dict[str, Any] = {
            "examples": Channel(type=Examples),
            "schema": Channel(type=Schema),
        }
        inputs: dict[str, Any] = {
            "examples": examples,
            "schema": write_schema(tmp_path / "schema", schema),
        }
        return execute(Transform(**channels, module_file=MODULE), inputs, tmp_path, beam=beam)

    ours, beams = run(RunnerProfile()), run(BEAMS_OWN)
    for key in set(ours.outputs) - {"transform_graph", "updated_analyzer_cache"}:
        assert files(ours.outputs[key].uri) == files(beams.outputs[key].uri), key
    # Graphs and compressed records hold times and names of their making.
    graphs = [tft.TFTransformOutput(c.outputs["transform_graph"].uri) for c in (ours, beams)]
    vocabularies = [
        {
            file.name.rpartition(".")[0]: Path(
                graph.vocabulary_file_by_name(file.name)
            ).read_bytes()
            for file in Path(graph.transform_savedmodel_dir, "assets").iterdir()
        }
        for graph in graphs
    ]
    assert vocabularies[0]
    assert vocabularies[0] == vocabularies[1]
    caches = [files(c.outputs["updated_analyzer_cache"].uri) for c in (ours, beams)]
    assert sorted(caches[0]) == sorted(caches[1])
