"""Channels: typed promises of artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prodml.artifacts import Artifact
from prodml.dsl.conditions import FutureArtifacts

if TYPE_CHECKING:
    from prodml.dsl.component import Component


class Channel:
    """A typed promise of artifacts.

    A Channel made by an author (`Channel(type=Model)`) stands for the artifacts of that type in
    the store, and is what a Resolver takes. A component's outputs are OutputChannels.

    Args:
        type: the artifact type it carries.
        producer_component_id: only artifacts made by this node.
        output_key: only artifacts made under this output key.
    """

    def __init__(
        self,
        type: type[Artifact],
        producer_component_id: str | None = None,
        output_key: str | None = None,
    ) -> None:
        self.type = type
        self.producer_component_id = producer_component_id
        self.output_key = output_key

    def __repr__(self) -> str:
        return f"Channel(type={self.type.type_name})"


class OutputChannel(Channel):
    """The artifacts that one component will write under one of its output keys."""

    def __init__(self, type: type[Artifact], producer: Component, output_key: str) -> None:
        super().__init__(type=type, output_key=output_key)
        self.producer = producer

    def future(self) -> FutureArtifacts:
        """The artifacts to come, for a condition."""
        return FutureArtifacts(self)

    def __repr__(self) -> str:
        return f"{self.producer.id}.outputs[{self.output_key!r}] ({self.type.type_name})"
