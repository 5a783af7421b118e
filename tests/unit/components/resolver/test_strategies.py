from pathlib import Path

import pytest

from prodml import Channel, Component, Output, pipeline
from prodml.artifacts import (
    Artifact,
    ExampleAnomalies,
    ExampleStatistics,
    Model,
    ModelBlessing,
)
from prodml.compiler.compile import compile_pipeline
from prodml.components.resolver.component import Resolver
from prodml.components.resolver.strategies import (
    LatestArtifactStrategy,
    LatestBlessedModelStrategy,
    LatestValidatedStatisticsStrategy,
)
from prodml.dsl.resolution import ResolverStrategy
from prodml.errors import ResolutionError
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import Attempt
from prodml.metadata.release_writing import ReleaseWriter
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter
from prodml.orchestration.resolve.inputs import find_in_store


class Train(Component):
    model: Output[Model]


class Shelf:
    """A real store with models and blessings of several pipelines."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = Store(str(directory / "metadata.db"))
        self.writer = LineageWriter(self.store)

    def add(self, artifact: Artifact, owner: str = "ours", **made: str) -> int:
        artifact.custom_properties.update(made)
        uri = self.directory / f"{len(list(self.directory.iterdir()))}"
        uri.mkdir()
        artifact.final_uri = str(uri)
        execution = self.writer.begin_execution(Attempt(owner, "run", uri.name, "Type"), {}, {})
        return self.writer.complete_execution(execution, {}, {"out": [artifact]})["out"][0]

    def add_model(self, is_blessed: bool, owner: str = "ours") -> int:
        model = self.add(Model(), owner)
        properties = {"blessed": int(is_blessed), "current_model_id": model}
        self.add(ModelBlessing(custom_properties=dict(properties)), owner)
        return model

    def found(self, strategy: type[ResolverStrategy], **config: int) -> list[int]:
        return self._found(strategy, config, Channel(type=Model))

    def found_by(
        self,
        strategy: type[ResolverStrategy],
        producer: str | None = None,
        output_key: str | None = None,
    ) -> list[int]:
        return self._found(strategy, {}, Channel(Model, producer, output_key))

    def found_statistics(self) -> list[int]:
        def body() -> None:
            Resolver(
                strategy_class=LatestValidatedStatisticsStrategy,
                statistics=Channel(type=ExampleStatistics),
                anomalies=Channel(type=ExampleAnomalies),
            )

        spec = compile_pipeline(pipeline(name="ours")(body).build())
        found = find_in_store(LineageReader(self.store), "ours", spec.node("Resolver"))
        assert len(found["anomalies"]) == len(found["statistics"])
        return [artifact.id for artifact in found["statistics"]]

    def _found(
        self, strategy: type[ResolverStrategy], config: dict[str, int], model: Channel
    ) -> list[int]:
        def body() -> None:
            Train().with_id("Trainer")
            Resolver(
                strategy_class=strategy,
                config=config,
                model=model,
                model_blessing=Channel(type=ModelBlessing),
            )

        spec = compile_pipeline(pipeline(name="ours")(body).build())
        found = find_in_store(LineageReader(self.store), "ours", spec.node("Resolver"))
        return [artifact.id for artifact in found["model"]]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_nothing_is_found_in_an_empty_store(shelf: Shelf) -> None:
    assert shelf.found(LatestBlessedModelStrategy) == []
    assert shelf.found(LatestArtifactStrategy) == []


def test_the_latest_blessed_model_is_not_the_latest_model(shelf: Shelf) -> None:
    shelf.add_model(is_blessed=True)
    blessed = shelf.add_model(is_blessed=True)
    shelf.add_model(is_blessed=False)
    assert shelf.found(LatestBlessedModelStrategy) == [blessed]


def test_a_model_of_another_pipeline_is_never_the_baseline(shelf: Shelf) -> None:
    shelf.add_model(is_blessed=True, owner="theirs")
    assert shelf.found(LatestBlessedModelStrategy) == []


def test_a_deleted_blessed_model_is_skipped(shelf: Shelf) -> None:
    kept = shelf.add_model(is_blessed=True)
    gone = shelf.add_model(is_blessed=True)
    (record,) = LineageReader(shelf.store).artifacts([gone])
    Path(record.uri).rmdir()
    assert shelf.found(LatestBlessedModelStrategy) == [kept]


def test_a_baseline_set_by_hand_wins_until_it_is_reset(shelf: Shelf) -> None:
    old = shelf.add_model(is_blessed=True)
    new = shelf.add_model(is_blessed=True)
    ReleaseWriter(shelf.store).record_baseline("ours", "set", old, "ada", "it is calmer")
    assert shelf.found(LatestBlessedModelStrategy) == [old]
    ReleaseWriter(shelf.store).record_baseline("ours", "reset", 0, "ada", "enough")
    assert shelf.found(LatestBlessedModelStrategy) == [new]


def test_a_baseline_set_by_hand_need_not_have_been_evaluated(shelf: Shelf) -> None:
    shelf.add_model(is_blessed=True)
    chosen = shelf.add(Model())
    ReleaseWriter(shelf.store).record_baseline("ours", "set", chosen, "ada", "the features changed")
    assert shelf.found(LatestBlessedModelStrategy) == [chosen]


def test_a_baseline_set_by_hand_that_no_longer_exists_is_an_error(shelf: Shelf) -> None:
    shelf.add_model(is_blessed=True)
    chosen = shelf.add_model(is_blessed=True)
    ReleaseWriter(shelf.store).record_baseline("ours", "set", chosen, "ada", "it is calmer")
    (record,) = LineageReader(shelf.store).artifacts([chosen])
    Path(record.uri).rmdir()
    with pytest.raises(ResolutionError, match=f"model {chosen}, which .* no longer exists.*reset"):
        shelf.found(LatestBlessedModelStrategy)


def test_several_of_the_latest_artifacts_can_be_requested(shelf: Shelf) -> None:
    ids = [shelf.add(Model()) for _ in range(3)]
    assert shelf.found(LatestArtifactStrategy, desired_num_of_artifacts=2) == [ids[2], ids[1]]


def test_the_latest_validated_statistics_are_those_with_anomalies(shelf: Shelf) -> None:
    passed = [shelf.add(ExampleStatistics()) for _ in range(3)]
    for statistics in (*passed, passed[2]):
        shelf.add(ExampleAnomalies(custom_properties={"statistics_id": statistics}))
    rejected = shelf.add(ExampleStatistics())
    assert shelf.found_statistics() == [passed[2], passed[1]]
    assert rejected not in shelf.found_statistics()


def test_without_validated_statistics_none_are_found(shelf: Shelf) -> None:
    shelf.add(ExampleStatistics())
    assert shelf.found_statistics() == []


def made_by(producer: str) -> dict[str, str]:
    return {"producer_component": producer, "output_key": "model"}


def test_only_artifacts_of_the_node_and_output_that_the_channel_names_are_found(
    shelf: Shelf,
) -> None:
    wanted = shelf.add(Model(), **made_by("Trainer"))
    shelf.add(Model(), **made_by("Distiller"))
    shelf.add(Model(), producer_component="Trainer", output_key="draft")
    assert shelf.found_by(LatestArtifactStrategy) != [wanted]
    assert shelf.found_by(LatestArtifactStrategy, "Trainer", "model") == [wanted]


def test_a_blessed_model_of_another_node_is_skipped(shelf: Shelf) -> None:
    wanted = shelf.add(Model(), **made_by("Trainer"))
    other = shelf.add(Model(), **made_by("Distiller"))
    for model in (wanted, other):
        shelf.add(ModelBlessing(custom_properties={"blessed": 1, "current_model_id": model}))
    assert shelf.found_by(LatestBlessedModelStrategy, "Trainer", "model") == [wanted]
