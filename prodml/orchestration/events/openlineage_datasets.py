"""Describes artifacts as OpenLineage datasets.

Source of the names: https://openlineage.io/docs/spec/naming. Source of the facets: the schema that
each class names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import attr
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    OutputDatasetFacet,
    dataset_type_dataset,
    dataset_version_dataset,
    datasource_dataset,
    input_statistics_input_dataset,
    output_statistics_output_dataset,
)

from prodml import __version__
from prodml.artifacts import Artifact
from prodml.orchestration.events.event import Event

PRODUCER: Final = f"urn:prodml:producer:{__version__}"

SCHEMA: Final = "urn:prodml:openlineage:1-0-0"
"""Schema of prodml's own facets: the `$id` of docs/openlineage/1-0-0.json."""

_ROWS: Final = "Examples"


@attr.define
class ProdmlArtifactDatasetFacet(DatasetFacet):
    """The record of an artifact in ML Metadata."""

    artifactId: int
    artifactType: str
    key: str
    digest: str | None = attr.field(default=None)

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMA}#/$defs/ProdmlArtifactDatasetFacet"


def inputs_of(event: Event) -> list[InputDataset]:
    """The artifacts that a node used, with the number of rows that it read, if known."""
    rows = sum(count.read for count in event.row_counts)
    counted = _one_of_rows(event.inputs) if event.row_counts else None
    datasets = []
    for key, artifact in _flat(event.inputs):
        facets: dict[str, InputDatasetFacet] = {}
        if artifact is counted:
            facets["inputStatistics"] = (
                input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
                    rowCount=rows, producer=PRODUCER
                )
            )
        named = dataset_name(artifact.uri)
        datasets.append(
            InputDataset(*named, facets=_dataset_facets(key, artifact), inputFacets=facets)
        )
    return datasets


def outputs_of(event: Event) -> list[OutputDataset]:
    """The artifacts that a node published, with the number of rows that it wrote, if known."""
    rows = sum(count.written for count in event.row_counts)
    counted = _one_of_rows(event.outputs) if event.row_counts else None
    datasets = []
    for key, artifact in _flat(event.outputs):
        facets: dict[str, OutputDatasetFacet] = {}
        if artifact is counted:
            facets["outputStatistics"] = (
                output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                    rowCount=rows, producer=PRODUCER
                )
            )
        named = dataset_name(artifact.uri)
        datasets.append(
            OutputDataset(*named, facets=_dataset_facets(key, artifact), outputFacets=facets)
        )
    return datasets


def dataset_name(uri: str) -> tuple[str, str]:
    """Namespace and name of the dataset at a URI, by OpenLineage's rules for files and buckets.

    `file` and the absolute path; `s3://bucket` and the key.
    """
    if "://" not in uri:
        return "file", os.path.abspath(uri)
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return "file", unquote(parts.path)
    # A user name and password in the URI must not be published.
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}", parts.path.strip("/") or "/"


def _one_of_rows(by_key: Mapping[str, Sequence[Artifact]]) -> Artifact | None:
    """The artifact that a node's row counts describe; None if that is ambiguous."""
    found = [artifact for _, artifact in _flat(by_key) if artifact.type_name == _ROWS]
    return found[0] if len(found) == 1 else None


def _dataset_facets(key: str, artifact: Artifact) -> dict[str, DatasetFacet]:
    namespace, name = dataset_name(artifact.uri)
    digest = str(artifact.custom_properties.get("digest", "")) or None
    return {
        "dataSource": datasource_dataset.DatasourceDatasetFacet(
            name=namespace, uri=_uri(namespace, name), producer=PRODUCER
        ),
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(
            datasetVersion=digest or str(artifact.id), producer=PRODUCER
        ),
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(
            datasetType="MODEL" if artifact.type_name == "Model" else "FILE",
            subType=artifact.type_name,
            producer=PRODUCER,
        ),
        "prodml_artifact": ProdmlArtifactDatasetFacet(
            artifactId=artifact.id,
            artifactType=artifact.type_name,
            key=key,
            digest=digest,
            producer=PRODUCER,
        ),
    }


def _uri(namespace: str, name: str) -> str:
    return f"file://{quote(name)}" if namespace == "file" else f"{namespace}/{quote(name)}"


def _flat(by_key: Mapping[str, Sequence[Artifact]]) -> list[tuple[str, Artifact]]:
    return [(key, artifact) for key, artifacts in by_key.items() for artifact in artifacts]
