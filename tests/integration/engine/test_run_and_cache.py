"""The engine on small function components: real Beam, real ML Metadata, real files."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.silent import Silent

from prodml.compiler.compile import compile_pipeline
from prodml.compiler.spec import PipelineSpec
from prodml.dsl.user_code import load_module
from prodml.errors import RunFailedError
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import ArtifactRecord, RunState
from prodml.metadata.store import Store
from prodml.orchestration.resolve.plan import Action, make_plan
from prodml.orchestration.results import NodeResult, NodeState, RunResult
from prodml.orchestration.run import run_pipeline
from prodml.orchestration.settings import RunSettings
from prodml.releases.baseline import set_baseline

PIPELINE = """
from pathlib import Path
from helper_of_pipeline import text
from prodml import Channel, Cond, Input, Output, Parameter, component, pipeline
from prodml.artifacts import Artifact, Model, ModelBlessing
from prodml.components.importer.component import Importer
from prodml.components.resolver.component import Resolver
from prodml.components.resolver.strategies import LatestArtifactStrategy, LatestBlessedModelStrategy

class Text(Artifact):
    type_name = "Text"

def read(artifact):
    return Path(artifact.uri, "text").read_text()

def write(artifact, text):
    Path(artifact.uri, "text").write_text(text)

@component
def Make(made: Output[Text], number: Parameter[int] = 1):
    print("noise of Make")
    write(made, text(number))

@component
def Copy(source: Input[Text], copy: Output[Text], fails: Parameter[bool] = False):
    if fails:
        raise ValueError("told to fail")
    write(copy, read(source))

@pipeline(name="texts")
def texts(number: int = 1, fails: bool = False, cached: bool = True):
    make = Make(number=number)
    if not cached:
        make.without_cache()
    left = Copy(source=make.outputs["made"], fails=fails).with_id("left")
    Copy(source=left.outputs["copy"]).with_id("after_left")
    Copy(source=make.outputs["made"]).with_id("right")

@component
def Judge(verdict: Output[Text], good: Parameter[bool] = True):
    verdict.custom_properties["good"] = int(good)
    write(verdict, str(good))

@pipeline(name="judged")
def judged(good: bool = True):
    verdict = Judge(good=good).outputs["verdict"]
    with Cond(verdict.future()[0].custom_property("good") == 1):
        kept = Copy(source=verdict).with_id("kept")
        with Cond(verdict.future()[0].uri != "nowhere"):
            Copy(source=kept.outputs["copy"]).with_id("after_kept")
    Copy(source=verdict).with_id("always")

@pipeline(name="misjudged")
def misjudged():
    verdict = Judge().outputs["verdict"]
    with Cond(verdict.future()[0].property("goodness") > 1):
        Copy(source=verdict)

@pipeline(name="searching")
def searching():
    found = Resolver(strategy_class=LatestArtifactStrategy, text=Channel(type=Text))
    Copy(source=found.outputs["text"])

@component
def Train(model: Output[Model], quality: Parameter[int] = 1):
    write(model, str(quality))

@component
def Compare(model: Input[Model], blessing: Output[ModelBlessing], baseline: Input[Model] | None):
    is_good = not baseline or int(read(model)) >= int(read(baseline))
    blessing.custom_properties["blessed"] = int(is_good)
    blessing.custom_properties["current_model_id"] = model.id
    write(blessing, str(is_good))

@pipeline(name="judging")
def judging(quality: int = 1):
    found = Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=Channel(type=Model),
        blessing=Channel(type=ModelBlessing),
    )
    model = Train(quality=quality).outputs["model"]
    Compare(model=model, baseline=found.outputs["model"])

@pipeline(name="importing")
def importing(uri: str):
    imported = Importer(source_uri=uri, artifact_type=Text)
    Copy(source=imported.outputs["result"])
"""


class Workplace:
    """A directory with a pipeline file, and runs of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "pipeline_file.py").write_text(PIPELINE)
        (root / "helper_of_pipeline.py").write_text("def text(n):\n    return f'text {n}'\n")
        self.settings = RunSettings(
            str(root / "metadata.db"), str(root / "artifacts"), str(root / "logs")
        )

    def spec(self, name: str = "texts", **values: Any) -> PipelineSpec:
        module = load_module(str(self.root / "pipeline_file.py"))
        return compile_pipeline(getattr(module, name).build(values))

    def run(self, name: str = "texts", **values: Any) -> RunResult:
        return run_pipeline(self.spec(name, **values), self.settings, Silent())

    def plan(self, **values: Any) -> Mapping[str, tuple[Action, str]]:
        made = make_plan(self.spec(**values), self.reader, use_cache=True)
        return {node.node_id: (node.action, node.reason) for node in made.nodes}

    @property
    def reader(self) -> LineageReader:
        return LineageReader(Store(self.settings.metadata))

    def uri(self, result: NodeResult, key: str) -> Path:
        return Path(self.record(result, key).uri)

    def record(self, result: NodeResult, key: str) -> ArtifactRecord:
        (record,) = self.reader.artifacts(result.outputs[key])
        return record


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def states(result: RunResult) -> dict[str, str]:
    return {node.node_id: str(node.state) for node in result.nodes}


def node(result: RunResult, node_id: str) -> NodeResult:
    return next(n for n in result.nodes if n.node_id == node_id)


def test_the_second_run_is_cached_and_gives_the_same_artifacts(work: Workplace) -> None:
    first = work.run()
    assert set(states(first).values()) == {"complete"}
    second = work.run()
    assert set(states(second).values()) == {"cached"}
    assert [n.outputs for n in second.nodes] == [n.outputs for n in first.nodes]


def test_a_fully_cached_run_never_imports_beam(work: Workplace) -> None:
    import subprocess
    import sys

    work.run()
    command = [
        sys.executable, "-X", "importtime", "-m", "prodml", "run",
        str(work.root / "pipeline_file.py"),
    ]  # fmt: skip
    (work.root / "pipeline_file.py").write_text(PIPELINE.partition("@component\ndef Judge")[0])
    work.run()
    environment = {
        **os.environ,
        "PRODML_METADATA__SQLITE": work.settings.metadata,
        "PRODML_PIPELINE_ROOT": work.settings.pipeline_root,
        "PRODML_HOME": str(work.root / "home"),
    }
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "4 cached" in ran.stdout
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert not imported & {"apache_beam", "tensorflow", "pyarrow", "tensorflow_transform"}


def test_a_changed_parameter_is_the_reason(work: Workplace) -> None:
    work.run()
    assert work.plan(number=2)["Make"] == (Action.RUN, "parameter number: 1 -> 2")
    assert work.plan(number=2)["left"] == (Action.UNDECIDED, "waits for Make")
    result = work.run(number=2)
    assert states(result)["after_left"] == "complete"


def test_a_changed_helper_of_a_function_component_is_the_reason(work: Workplace) -> None:
    work.run()
    helper = work.root / "helper_of_pipeline.py"
    os.utime(helper, (1, 1))
    assert work.plan()["Make"][0] is Action.CACHED
    helper.write_text("def text(n):\n    return f'another text {n}'\n")
    reason = "the component's code changed (helper_of_pipeline.py)"
    assert work.plan()["Make"] == (Action.RUN, reason)


def test_nodes_after_a_rerun_with_the_same_content_are_cached(work: Workplace) -> None:
    work.run()
    result = work.run(cached=False)
    assert states(result) == {
        "Make": "complete", "left": "cached", "after_left": "cached", "right": "cached",
    }  # fmt: skip
    assert node(result, "Make").message == "caching is off for this node"


@pytest.mark.parametrize("damage", ["delete", "change"])
def test_a_changed_output_is_a_cache_miss_with_that_reason(work: Workplace, damage: str) -> None:
    uri = work.uri(node(work.run(), "left"), "copy")
    if damage == "delete":
        shutil.rmtree(uri)
    else:
        (uri / "text").write_text("forged")
    action, reason = work.plan()["left"]
    assert action is Action.RUN
    assert "copy" in reason
    assert ("is gone" if damage == "delete" else "was changed") in reason
    again = work.run()
    assert (work.uri(node(again, "left"), "copy") / "text").read_text() == "text 1"


def test_independent_branches_continue_and_the_run_names_each_failure(work: Workplace) -> None:
    with pytest.raises(RunFailedError, match=r"left: .*told to fail") as caught:
        work.run(fails=True)
    result = caught.value.result
    assert isinstance(result, RunResult)
    assert states(result) == {
        "Make": "complete", "left": "failed", "after_left": "skipped", "right": "complete",
    }  # fmt: skip
    assert "pipeline_file.py" in node(result, "left").message
    assert node(result, "after_left").message == "left failed"
    assert work.reader.run(result.run_id).state is RunState.FAILED


def test_a_failed_node_publishes_nothing_and_leaves_nothing_staged(work: Workplace) -> None:
    with pytest.raises(RunFailedError):
        work.run(fails=True)
    left = work.root / "artifacts" / "texts" / "left"
    assert list(left.iterdir()) == []


def test_a_node_that_finds_no_input_has_failed_and_so_has_the_run(work: Workplace) -> None:
    with pytest.raises(RunFailedError, match=r"input 'source' \(Text\) has no artifact"):
        work.run("searching")


def test_a_resolver_never_sees_another_pipelines_artifacts(work: Workplace) -> None:
    work.run("texts")
    with pytest.raises(RunFailedError, match="has no artifact"):
        work.run("searching")


def test_an_importer_records_a_directory_once_until_it_changes(work: Workplace) -> None:
    there = work.root / "there"
    there.mkdir()
    (there / "text").write_text("from elsewhere")
    first = work.run("importing", uri=str(there))
    second = work.run("importing", uri=str(there))
    assert node(first, "Importer").outputs == node(second, "Importer").outputs
    assert node(second, "Copy").state is NodeState.CACHED
    (there / "text").write_text("changed elsewhere")
    third = work.run("importing", uri=str(there))
    assert node(third, "Importer").outputs != node(first, "Importer").outputs
    assert (work.uri(node(third, "Copy"), "copy") / "text").read_text() == "changed elsewhere"


def test_what_a_node_prints_goes_to_its_log(work: Workplace, capfd: Any) -> None:
    result = work.run()
    assert "noise of Make" in Path(node(result, "Make").log).read_text()
    assert "noise" not in capfd.readouterr().out


def test_nodes_whose_condition_is_met_run(work: Workplace) -> None:
    result = work.run("judged")
    assert set(states(result).values()) == {"complete"}


def test_nodes_whose_condition_is_not_met_are_skipped_and_the_run_succeeds(
    work: Workplace,
) -> None:
    result = work.run("judged", good=False)
    assert states(result) == {
        "Judge": "complete", "kept": "skipped", "after_kept": "skipped", "always": "complete",
    }  # fmt: skip
    assert node(result, "kept").message == (
        "condition not met: Judge.verdict[0] custom_property good == 1, it is 0"
    )
    assert work.reader.run(result.run_id).state is RunState.COMPLETE
    made = make_plan(work.spec("judged", good=False), work.reader, use_cache=True)
    assert {n.node_id: str(n.action) for n in made.nodes} == {
        "Judge": "cached", "kept": "skip", "after_kept": "skip", "always": "cached",
    }  # fmt: skip


def test_a_condition_on_a_missing_property_fails_its_node(work: Workplace) -> None:
    with pytest.raises(RunFailedError, match="the artifact has no property 'goodness'"):
        work.run("misjudged")


def test_a_verdict_is_not_cached_if_its_model_was_set_as_the_baseline(
    work: Workplace,
) -> None:
    work.run("judging", quality=2)
    worse = work.run("judging")
    assert work.record(node(worse, "Compare"), "blessing").custom_properties["blessed"] == 0
    (model_id,) = node(worse, "Train").outputs["model"]
    set_baseline(Store(str(work.settings.metadata)), "judging", model_id, "me", "new data")
    again = work.run("judging")
    assert states(again)["Compare"] == "complete"
    assert node(again, "Compare").message == "its own input was set as the baseline by hand"
    assert work.record(node(again, "Compare"), "blessing").custom_properties["blessed"] == 1
    assert states(work.run("judging"))["Compare"] == "cached"


def test_the_verdict_that_made_a_model_the_baseline_stays_cached(work: Workplace) -> None:
    assert states(work.run("judging"))["Compare"] == "complete"
    assert states(work.run("judging"))["Compare"] == "cached"
