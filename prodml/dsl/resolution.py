"""Resolver strategies, which choose the recorded artifacts that a Resolver outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from prodml.artifacts import Artifact


class Candidates(Protocol):
    """Live artifacts of this pipeline, never of another pipeline in the same store."""

    def type_name(self, key: str) -> str:
        """Returns the artifact type of the Resolver's channel `key`."""

    def newest(self, key: str) -> Iterator[Artifact]:
        """Yields the artifacts that match the Resolver's channel `key`, newest first, lazily."""

    def by_id(self, key: str, artifact_id: int) -> Artifact | None:
        """Returns the artifact; None if it does not match the channel or is no longer live."""

    def pinned_model(self) -> int | None:
        """Returns the id of the model that `prodml baseline set` chose; None after a reset."""


class ResolverStrategy(Protocol):
    """Chooses among candidates. An empty list for a key means that no artifact was found."""

    def resolve(self, keys: list[str], candidates: Candidates) -> Mapping[str, list[Artifact]]:
        """Returns the chosen artifacts by the Resolver's channel keys."""
