"""Resolves a node's inputs from its upstream outputs, or, for a Resolver, from the store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from prodml.artifacts import Artifact, artifact_type
from prodml.compiler.spec import ChannelSpec, NodeSpec
from prodml.dsl import references
from prodml.dsl.user_code import user_code
from prodml.errors import ResolutionError, UserCodeError, file_operation_error
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import ArtifactRecord
from prodml.orchestration.publish.manifest import MANIFEST, describe
from prodml.storage import objects
from prodml.storage.locations import is_url, join

Artifacts = Mapping[str, Sequence[Artifact]]
"""Artifacts by input or output key."""


def resolve_inputs(node: NodeSpec, produced: Mapping[str, Artifacts]) -> dict[str, list[Artifact]]:
    """The artifacts of every input that has a channel, by input key.

    Args:
        node: the node.
        produced: outputs by node id of every node upstream.

    Raises:
        ResolutionError: a required input has no artifact.
    """
    resolved: dict[str, list[Artifact]] = {}
    for declared in node.inputs:
        if not declared.channels:
            continue
        found = [
            artifact
            for channel in declared.channels
            if channel.producer is not None
            for artifact in produced[channel.producer].get(channel.output or "", ())
        ]
        if not found and not declared.is_optional:
            sources = ", ".join(f"{c.producer}.{c.output}" for c in declared.channels)
            raise ResolutionError(
                f"input {declared.name!r} ({declared.type}) has no artifact: {sources} produced "
                f"none ({node.location})"
            )
        resolved[declared.name] = found
    return resolved


def find_in_store(
    reader: LineageReader, pipeline: str, node: NodeSpec
) -> Mapping[str, list[Artifact]]:
    """Runs the strategy of a Resolver node; returns its outputs by key.

    Raises:
        NodeError: the strategy failed; its exception is chained.
    """
    name = str(node.parameter("strategy_class"))
    strategy_class = references.load(name)
    candidates = StoreCandidates(reader, pipeline, node)
    root = os.path.dirname(references.source_file(name).path)
    with user_code(root, f"the strategy {strategy_class.__name__} of {node.id} failed"):
        strategy = strategy_class(**node.parameter("config"))
        found = strategy.resolve([i.name for i in node.inputs], candidates)
    wrong = _wrong_answer(node, found)
    if wrong is not None:
        raise UserCodeError(f"the strategy {strategy_class.__name__} of {node.id} {wrong}")
    answer: Mapping[str, list[Artifact]] = found
    return answer


def _wrong_answer(node: NodeSpec, found: object) -> str | None:
    if not isinstance(found, Mapping):
        return f"must return lists of artifacts by key, got {type(found).__name__}"
    keys = {declared.name for declared in node.inputs}
    for key in sorted(keys | set(found), key=str):
        if key not in found:
            return f"returned nothing for {key!r}; return an empty list if there is no artifact"
        if key not in keys:
            return f"returned {key!r}, which is not a channel of {node.id}"
        value = found[key]
        if not isinstance(value, list | tuple) or not all(isinstance(a, Artifact) for a in value):
            return f"must return a list of artifacts for {key!r}, got {type(value).__name__}"
    return None


class StoreCandidates:
    """Candidates of a resolver strategy: live artifacts of one pipeline."""

    def __init__(self, reader: LineageReader, pipeline: str, node: NodeSpec) -> None:
        self._reader = reader
        self._pipeline = pipeline
        self._channels = {declared.name: declared.channels[0] for declared in node.inputs}

    def type_name(self, key: str) -> str:
        return self._channels[key].type

    def newest(self, key: str) -> Iterator[Artifact]:
        channel = self._channels[key]
        for record in self._reader.newest_artifacts(
            self._pipeline, channel.type, channel.producer, channel.output
        ):
            if _exists(record.uri):
                yield to_artifact(record)

    def by_id(self, key: str, artifact_id: int) -> Artifact | None:
        for record in self._reader.artifacts([artifact_id]):
            if record.state == "LIVE" and _matches(record, self._channels[key]):
                return to_artifact(record) if _exists(record.uri) else None
        return None

    def pinned_model(self) -> int | None:
        return self._reader.pinned_model(self._pipeline)


def _matches(record: ArtifactRecord, channel: ChannelSpec) -> bool:
    return record.type_name == channel.type and record.was_produced_by(
        channel.producer, channel.output
    )


def _exists(place: str) -> bool:
    return objects.exists(join(place, MANIFEST)) if is_url(place) else os.path.isdir(place)


def imported_artifact(node: NodeSpec) -> Artifact:
    """The artifact of an Importer node, with a digest of its content.

    Raises:
        ResolutionError: the directory does not exist.
    """
    uri = str(node.parameter("source_uri"))
    if not os.path.isdir(uri):
        raise ResolutionError(f"source_uri {uri!r} is not a directory ({node.location})")
    try:
        digest = describe(uri).digest
    except OSError as error:
        raise file_operation_error(error, uri) from error
    return artifact_type(node.outputs[0].type)(
        uri=uri,
        final_uri=uri,
        properties=dict(node.parameter("properties")),
        custom_properties={
            **node.parameter("custom_properties"),
            "digest": digest,
            "is_external": 1,
        },
    )


def to_artifact(record: ArtifactRecord) -> Artifact:
    """A recorded artifact as an executor sees it."""
    return artifact_type(record.type_name)(
        uri=record.uri,
        id=record.id,
        properties=dict(record.properties),
        custom_properties=dict(record.custom_properties),
        final_uri=record.uri,
    )
