"""Artifact types, and what stands where under an artifact's URI.

Type and property names are TFX's, so that tools made for TFX's stores read ours. The source of
the layouts is TFX 1.16 (`tfx/types/standard_artifacts.py` and the executors).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from prodml.errors import InputDataError
from prodml.names import RULE, is_name

PropertyValue = int | float | str

SPLIT_NAMES = "split_names"
"""Property that lists the splits of an artifact, as a JSON array."""


@dataclass
class Artifact:
    """A recorded thing on disk: a typed directory with properties.

    Attributes:
        uri: the directory that holds it. For an output of a running node it is a staging
            directory, empty at first, and `final_uri` is where it will stand once published.
        id: its ML Metadata id; 0 while it is not recorded.
        properties: values of the properties that the type declares.
        custom_properties: any other values.
        final_uri: where an output will stand once published; empty for an input.
    """

    type_name: ClassVar[str] = "Artifact"
    property_types: ClassVar[Mapping[str, type]] = {}
    provenance: ClassVar[frozenset[str]] = frozenset()
    """Custom properties that only say where the artifact comes from, such as the id of another.
    They do not count where the cache compares inputs: the same content made again is the same."""

    uri: str = ""
    id: int = 0
    properties: dict[str, PropertyValue] = field(default_factory=dict)
    custom_properties: dict[str, PropertyValue] = field(default_factory=dict)
    final_uri: str = ""

    @property
    def split_names(self) -> list[str]:
        """The splits this artifact has; empty where it has none."""
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
    """Where a split stands under an artifact's directory.

    Raises:
        InputDataError: the split's name breaks `prodml.names.RULE`. Names come from the store,
            too, where anybody may have written them.
    """
    if not is_name(split):
        raise InputDataError(f"split {split!r} of {uri}: {RULE}")
    return os.path.join(uri, f"Split-{split}")


_SPAN_AND_SPLITS: Mapping[str, type] = {"span": int, SPLIT_NAMES: str}


class Examples(Artifact):
    """`Split-<name>/` with Parquet or TFRecord files; `payload_format` says which."""

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
    """What `tft.TFTransformOutput` reads: `transform_fn/`, `transformed_metadata/`, `metadata/`."""

    type_name = "TransformGraph"


class TransformCache(Artifact):
    """TFT's analyzer cache, for later spans."""

    type_name = "TransformCache"


class Model(Artifact):
    """`Format-Serving/` (a SavedModel) and, where asked, `Format-TFMA/`; custom property `keras`
    is what `tf.keras` meant in the training, `tf_keras` or `keras`."""

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
    """What `tfma.load_eval_result` reads."""

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


def artifact_type(type_name: str) -> type[Artifact]:
    """The class for a type name; a bare Artifact subclass where no loaded module declares it.

    A user's module that was imported again has declared its types again: the newest class counts.
    """
    found = None
    declared: list[type[Artifact]] = [Artifact]
    for cls in declared:
        declared += cls.__subclasses__()
        if vars(cls).get("type_name") == type_name:
            found = cls
    return found or type(type_name, (Artifact,), {"type_name": type_name})
