"""Channels: typed promises of artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from prodml.artifacts import Artifact
from prodml.dsl.conditions import FutureArtifacts
from prodml.dsl.locations import author_location
from prodml.errors import DefinitionError

if TYPE_CHECKING:
    from prodml.dsl.component import Component


class Channel:
    """A typed promise of artifacts.

    A Channel made by an author (`Channel(type=Model)`) stands for the artifacts of that type in
    the store, and is what a Resolver takes. A component's outputs are OutputChannels.

    Args:
        type: the artifact type it carries.
        producer_component_id: only artifacts made by this node of the pipeline, such as
            "StatisticsGen".
        output_key: only artifacts made under this output key, such as "statistics".

    Raises:
        DefinitionError: an argument is of the wrong type; names the author's line.
    """

    def __init__(
        self,
        type: type[Artifact],
        producer_component_id: str | None = None,
        output_key: str | None = None,
    ) -> None:
        self.location = author_location()
        if not _is_artifact_type(type):
            self._refuse(f"type takes an artifact type such as Model, got {type!r}")
        for name, value in (
            ("producer_component_id", producer_component_id),
            ("output_key", output_key),
        ):
            if value is not None and (not isinstance(value, str) or not value):
                self._refuse(f"{name} takes a name such as 'StatisticsGen', got {value!r}")
        self.type = type
        self.producer_component_id = producer_component_id
        self.output_key = output_key

    def __repr__(self) -> str:
        return f"Channel(type={self.type.type_name})"

    def _refuse(self, message: str) -> NoReturn:
        raise DefinitionError(f"Channel: {message}", str(self.location))


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


def _is_artifact_type(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Artifact)
