"""The flights pipeline on a sample: a first run, a cached run, and a run on a new month."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support import warm
from support.pickles import pickles_under

ROOT = Path(__file__).parents[2]
STEPS = 300
RUN = (
    "run", str(ROOT / "pipelines" / "flights.py"), "--param", "data_root=data",
    "--param", f"train_steps={STEPS}", "--param", "min_auc=0.55", "--require-push",
)  # fmt: skip
SAMPLE = 10
"""Every tenth flight."""


class Workspace:
    """A directory with prepared months, and runs of the pipeline in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.add_months("1-2")

    def add_months(self, months: str) -> None:
        prepare = ROOT / "examples" / "flights" / "prepare.py"
        whole = self.directory / "whole"
        warm.run(
            [sys.executable, prepare, "--output", whole, "--months", months],
            check=True,
            capture_output=True,
        )
        for month in whole.iterdir():
            header, *rows = (month / "flights.csv").read_text().splitlines(keepends=True)
            target = self.directory / "data" / month.name
            target.mkdir(parents=True, exist_ok=True)
            (target / "flights.csv").write_text("".join([header, *rows[::SAMPLE]]))

    def prodml(
        self, *arguments: str, libraries: str = warm.WITHOUT_TENSORFLOW
    ) -> subprocess.CompletedProcess[str]:
        return warm.run(
            [sys.executable, "-m", "prodml", *arguments],
            libraries=libraries,
            cwd=self.directory,
            capture_output=True,
            text=True,
        )

    def first_run(self) -> subprocess.CompletedProcess[str]:
        """A run in a new interpreter, whose output has what libraries print on import."""
        return subprocess.run(
            [sys.executable, "-m", "prodml", *RUN],
            cwd=self.directory,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": ""},
        )

    def run(self) -> subprocess.CompletedProcess[str]:
        return self.prodml(*RUN, libraries=warm.TENSORFLOW)

    def shown(self) -> Mapping[str, Any]:
        shown = self.prodml("show", "latest", "--json")
        assert shown.returncode == 0, shown.stderr
        document: Mapping[str, Any] = json.loads(shown.stdout)
        return document

    def states(self) -> dict[str, str]:
        return {node["node_id"]: node["state"] for node in self.shown()["nodes"]}

    def output(self, node_id: str, key: str) -> Mapping[str, Any]:
        detail = self.shown()
        node = next(n for n in detail["nodes"] if n["node_id"] == node_id)
        (artifact_id,) = node["outputs"][key]
        artifact: Mapping[str, Any] = next(a for a in detail["artifacts"] if a["id"] == artifact_id)
        return artifact

    def versions(self) -> list[int]:
        serving = self.directory / ".prodml" / "serving" / "flights"
        # As a model server does, read only the names that are numbers.
        return sorted(int(path.name) for path in serving.iterdir() if path.name.isdigit())


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    work = Workspace(tmp_path_factory.mktemp("flights"))
    ran = work.first_run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    work.first_output = ran.stdout + ran.stderr  # type: ignore[attr-defined]
    return work


def test_the_first_run_pushes_a_blessed_model_and_reports_the_verdict(work: Workspace) -> None:
    output = work.first_output  # type: ignore[attr-defined]
    assert len(work.versions()) == 1
    assert work.output("Evaluator", "blessing")["properties"]["blessed"] == 1
    infra_blessing = work.output("InfraValidator", "blessing")["properties"]
    assert infra_blessing["blessed"] == 1 and infra_blessing["has_model"] == 1
    assert work.output("Pusher", "pushed_model")["properties"]["pushed"] == 1
    assert "no baseline" in output.lower()
    assert "auc" in output.lower()


def test_log_messages_of_tensorflow_are_not_printed(work: Workspace) -> None:
    output = work.first_output  # type: ignore[attr-defined]
    for noise in ("oneDNN", "cuda", "TensorRT", "WARNING", "IPython", "Traceback"):
        assert noise not in output


def test_rows_add_up_in_every_node(work: Workspace) -> None:
    for node in work.shown()["nodes"]:
        for count in node["row_counts"]:
            assert count["read"] == count["written"] + sum(count["dropped"].values()), node
    ingested = next(n for n in work.shown()["nodes"] if n["node_id"] == "CsvExampleGen")
    lines = sum(
        len(path.read_text().splitlines()) - 1 for path in work.directory.glob("data/*/*.csv")
    )
    assert next(c for c in ingested["row_counts"] if c["split"] == "all")["read"] == lines


def test_tools_for_tfx_can_read_the_artifacts_and_metadata(work: Workspace) -> None:
    import tensorflow_data_validation as tfdv
    from ml_metadata import metadata_store
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    # Without notebook widgets, the import of the TFMA package itself is incomplete.
    from prodml.components.evaluator.tfma import model_eval_lib as tfma

    statistics = Path(work.output("StatisticsGen", "statistics")["uri"])
    train = statistics / "Split-train"
    binary = tfdv.load_stats_binary(str(train / "FeatureStats.pb"))
    (sharded,) = train.glob("*.tfrecords")
    assert tfdv.load_statistics(str(sharded)) == binary
    assert binary.datasets[0].num_examples > 1000
    schema = tfdv.load_schema_text(work.output("SchemaGen", "schema")["uri"] + "/schema.pbtxt")
    assert "is_late" in {feature.name for feature in schema.feature}
    result = tfma.load_eval_result(work.output("Evaluator", "evaluation")["uri"])
    slices = {slice_key for slice_key, _ in result.slicing_metrics}
    assert () in slices and (("origin", "JFK"),) in slices

    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(work.directory / ".prodml" / "metadata.db")
    config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READONLY
    store = metadata_store.MetadataStore(config)
    (pushed,) = store.get_artifacts_by_type("PushedModel")
    lineage = store.get_lineage_subgraph(
        mlmd.LineageSubgraphQueryOptions(
            starting_artifacts=mlmd.LineageSubgraphQueryOptions.StartingNodes(
                filter_query=f"id = {pushed.id}"
            ),
            max_num_hops=20,
            direction=mlmd.LineageSubgraphQueryOptions.Direction.UPSTREAM,
        )
    )
    assert {"Examples", "Schema", "TransformGraph", "Model", "ModelBlessing"} <= {
        artifact.type for artifact in lineage.artifacts
    }
    assert "tfx.components.trainer.component.Trainer" in {e.type for e in lineage.executions}
    contexts = {context.type for context in store.get_contexts()}
    assert {"pipeline", "pipeline_run", "node"} <= contexts


def test_no_file_of_the_run_is_a_pickle(work: Workspace) -> None:
    home = work.directory / ".prodml"
    assert any(home.glob("artifacts/flights/Transform/updated_analyzer_cache/*/*/MANIFEST.json"))
    assert pickles_under(home) == []


def test_lineage_of_the_pushed_model_reaches_the_examples(work: Workspace) -> None:
    pushed = work.output("Pusher", "pushed_model")["id"]
    view = json.loads(work.prodml("lineage", str(pushed), "--json").stdout)
    assert "CsvExampleGen" in {step["node_id"] for step in view["upstream"]}


def test_the_example_prints_predictions_of_the_pushed_model(work: Workspace) -> None:
    predicted = warm.run(
        [sys.executable, ROOT / "examples" / "flights" / "predict.py"],
        libraries=warm.TENSORFLOW,
        cwd=work.directory,
        capture_output=True,
        text=True,
    )
    assert predicted.returncode == 0, predicted.stderr
    assert predicted.stdout.count("%") >= 3


def test_the_second_run_is_fully_cached_and_pushes_no_new_version(work: Workspace) -> None:
    before = work.versions()
    ran = work.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    states = work.states()
    assert states.pop("latest_blessed_model") == "COMPLETE"
    assert set(states.values()) == {"CACHED"}
    assert work.versions() == before


def test_a_new_month_retrains_and_is_compared_with_the_baseline(work: Workspace) -> None:
    before = work.versions()
    work.add_months("3")
    plan = json.loads(
        work.prodml(
            "plan", str(ROOT / "pipelines" / "flights.py"), "--param", "data_root=data",
            "--param", f"train_steps={STEPS}", "--param", "min_auc=0.55", "--json",
        ).stdout
    )  # fmt: skip
    ingestion = next(n for n in plan["nodes"] if n["node_id"] == "CsvExampleGen")
    assert ingestion["action"] == "run"
    assert "spans 1 to 3" in ingestion["reason"]
    ran = work.run()
    assert ran.returncode in (0, 3), ran.stdout + ran.stderr
    states = work.states()
    assert states["Trainer"] == "COMPLETE"
    blessing = work.output("Evaluator", "blessing")["properties"]
    assert blessing["baseline_model_id"]
    assert len(work.versions()) == len(before) + int(blessing["blessed"])
