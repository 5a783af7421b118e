"""Resolver strategies: which recorded artifacts a Resolver gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from prodml.artifacts import Artifact


class Candidates(Protocol):
    """Live artifacts of this pipeline, never of another one in the same store."""

    def type_name(self, key: str) -> str:
        """The artifact type of a Resolver's channel."""

    def newest(self, key: str) -> Iterator[Artifact]:
        """The artifacts that fit a Resolver's channel, newest first, read as they are asked for."""

    def by_id(self, key: str, artifact_id: int) -> Artifact | None:
        """One of them, or None where it is not among them or no longer live."""

    def pinned_model(self) -> int | None:
        """Id of the model that `prodml baseline set` chose; None after a reset."""


class ResolverStrategy(Protocol):
    """Chooses among candidates. An empty list for a key means that there is none."""

    def resolve(self, keys: list[str], candidates: Candidates) -> Mapping[str, list[Artifact]]:
        """Artifacts by the Resolver's channel keys."""
