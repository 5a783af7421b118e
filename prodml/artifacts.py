"""Artifact types, and the layout of files under an artifact's URI.

Names of types and properties are TFX's, so tools for TFX's metadata stores can read prodml's. The
source of the layouts is TFX 1.16 (`tfx/types/standard_artifacts.py` and the executors).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from prodml.errors import InputDataError
from prodml.names import RULE, is_name

PropertyValue = int | float | str

SPLIT_NAMES = "split_names"
"""Property that lists the splits of an artifact, as a JSON array."""


@dataclass
class Artifact:
    """A directory with a type and properties, recorded in ML Metadata.

    Attributes:
        uri: the artifact's directory. For an output of a running node, this is a staging
            directory, initially empty; `final_uri` is its location after publication.
        id: ML Metadata id; 0 until the artifact is recorded.
        properties: values of the properties that the type declares.
        custom_properties: values of other properties.
        final_uri: location of an output after publication; empty for an input.
    """

    type_name: ClassVar[str] = "Artifact"
    property_types: ClassVar[Mapping[str, type]] = {}
    provenance: ClassVar[frozenset[str]] = frozenset()
    """Custom properties that only record the artifact's origin, such as the id of another artifact.
    The cache ignores them when it compares inputs, so equal content counts as equal."""

    uri: str = ""
    id: int = 0
    properties: dict[str, PropertyValue] = field(default_factory=dict)
    custom_properties: dict[str, PropertyValue] = field(default_factory=dict)
    final_uri: str = ""

    @property
    def split_names(self) -> list[str]:
        """The names of the artifact's splits; empty if it has none."""
        return list(json.loads(str(self.properties.get(SPLIT_NAMES) or "[]")))

    @split_names.setter
    def split_names(self, names: Iterable[str]) -> None:
        self.properties[SPLIT_NAMES] = json.dumps(list(names))

    def split_uri(self, split: str) -> str:
        """The directory of one split.

        Raises:
            KeyError: the artifact has no such split.
        """
        if split not in self.split_names:
            raise KeyError(f"no split {split!r} in {self.uri}; it has {self.split_names}")
        return split_directory(self.uri, split)


def split_directory(uri: str, split: str) -> str:
    """The directory of a split under an artifact's directory.

    Raises:
        InputDataError: the split's name violates `prodml.names.RULE`. Names may come from the
            metadata store, which other tools write to.
    """
    if not is_name(split):
        raise InputDataError(f"split {split!r} of {uri}: {RULE}")
    return os.path.join(uri, f"Split-{split}")


_SPAN_AND_SPLITS: Mapping[str, type] = {"span": int, SPLIT_NAMES: str}


class Examples(Artifact):
    """`Split-<name>/` with Parquet or TFRecord files, according to `payload_format`."""

    type_name = "Examples"
    property_types: ClassVar[Mapping[str, type]] = {"span": int, "version": int, SPLIT_NAMES: str}


class ExampleStatistics(Artifact):
    """`Split-<name>/FeatureStats.pb`: a binary DatasetFeatureStatisticsList."""

    type_name = "ExampleStatistics"
    property_types = _SPAN_AND_SPLITS

    def stats_path(self, split: str) -> str:
        return os.path.join(self.split_uri(split), "FeatureStats.pb")


class Schema(Artifact):
    """`schema.pbtxt`: a text tensorflow_metadata Schema."""

    type_name = "Schema"

    @property
    def schema_path(self) -> str:
        return os.path.join(self.uri, "schema.pbtxt")


class ExampleAnomalies(Artifact):
    """`Split-<name>/SchemaDiff.pb`: a binary Anomalies."""

    type_name = "ExampleAnomalies"
    property_types = _SPAN_AND_SPLITS
    provenance = frozenset({"statistics_id"})

    def anomalies_path(self, split: str) -> str:
        return os.path.join(self.split_uri(split), "SchemaDiff.pb")


class TransformGraph(Artifact):
    """Input of `tft.TFTransformOutput`: `transform_fn/`, `transformed_metadata/`, `metadata/`."""

    type_name = "TransformGraph"


class TransformCache(Artifact):
    """TFT's analyzer cache, for later spans."""

    type_name = "TransformCache"


class Model(Artifact):
    """`Format-Serving/` (a SavedModel) and, if exported, `Format-TFMA/`.

    The custom property `keras` is the package that `tf.keras` referred to in training, `tf_keras`
    or `keras`.
    """

    type_name = "Model"

    @property
    def serving_model_dir(self) -> str:
        return os.path.join(self.uri, "Format-Serving")

    @property
    def eval_model_dir(self) -> str:
        return os.path.join(self.uri, "Format-TFMA")


class ModelRun(Artifact):
    """Logs and checkpoints of one training."""

    type_name = "ModelRun"


class ModelEvaluation(Artifact):
    """Metrics that `tfma.load_eval_result` reads.

    The custom property `metrics` has those of the candidate over all rows, as JSON.
    """

    type_name = "ModelEvaluation"


class ModelBlessing(Artifact):
    """An empty file `BLESSED` or `NOT_BLESSED`; custom property `blessed` is 1 or 0."""

    type_name = "ModelBlessing"
    provenance = frozenset(
        {"baseline_model", "baseline_model_id", "current_model", "current_model_id"}
    )

    @property
    def is_blessed(self) -> bool:
        return self.custom_properties.get("blessed") == 1


class InfraBlessing(Artifact):
    """An empty file `INFRA_BLESSED` or `INFRA_NOT_BLESSED`; custom property `blessed`."""

    type_name = "InfraBlessing"

    @property
    def is_blessed(self) -> bool:
        return self.custom_properties.get("blessed") == 1


class PushedModel(Artifact):
    """The model that was pushed; custom properties `pushed`, `pushed_destination`, ..."""

    type_name = "PushedModel"
    provenance = frozenset({"pushed_model", "pushed_model_id"})


class HyperParameters(Artifact):
    """`best_hyperparameters.txt`: JSON of a KerasTuner HyperParameters configuration."""

    type_name = "HyperParameters"


class InferenceResult(Artifact):
    """Predictions as PredictionLog records."""

    type_name = "InferenceResult"


def artifact_to_document(artifact: Artifact) -> dict[str, Any]:
    """An artifact as JSON values, for another process."""
    return {"type_name": artifact.type_name, **asdict(artifact)}


def artifact_from_document(document: Mapping[str, Any]) -> Artifact:
    """The artifact that `artifact_to_document` described."""
    fields = dict(document)
    return artifact_type(fields.pop("type_name"))(**fields)


def artifact_type(type_name: str) -> type[Artifact]:
    """The class for a type name; a new Artifact subclass if no loaded module declares it.

    If a user's module was imported again, the newest of its classes is returned.
    """
    found = None
    declared: list[type[Artifact]] = [Artifact]
    for cls in declared:
        declared += cls.__subclasses__()
        if vars(cls).get("type_name") == type_name:
            found = cls
    return found or type(type_name, (Artifact,), {"type_name": type_name})
