"""Channels: typed promises of artifacts, and futures of their values for conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NoReturn, Protocol

from prodml.artifacts import Artifact, PropertyValue
from prodml.dsl.locations import SourceLocation, author_location
from prodml.errors import DefinitionError


class Producer(Protocol):
    """The component that a channel comes from."""

    @property
    def id(self) -> str: ...

    @property
    def location(self) -> SourceLocation: ...

    @property
    def inputs(self) -> Mapping[str, Sequence[Channel]]: ...


class Channel:
    """A typed promise of artifacts.

    A Channel that an author creates (`Channel(type=Model)`) represents the artifacts of that type
    in the store, and is an argument of a Resolver. A component's outputs are OutputChannels.

    Args:
        type: the artifact type.
        producer_component_id: only artifacts of this node of the pipeline, such as
            "StatisticsGen".
        output_key: only artifacts of this output key, such as "statistics".

    Raises:
        DefinitionError: an argument is of the wrong type; the message names the author's line.
    """

    def __init__(
        self,
        type: type[Artifact],
        producer_component_id: str | None = None,
        output_key: str | None = None,
    ) -> None:
        self.location = author_location()
        if not _is_artifact_type(type):
            self._refuse(f"type must be an artifact type such as Model, got {type!r}")
        for name, value in (
            ("producer_component_id", producer_component_id),
            ("output_key", output_key),
        ):
            if value is not None and (not isinstance(value, str) or not value):
                self._refuse(f"{name} must be a name such as 'StatisticsGen', got {value!r}")
        self.type = type
        self.producer_component_id = producer_component_id
        self.output_key = output_key

    def __repr__(self) -> str:
        return f"Channel(type={self.type.type_name})"

    def _refuse(self, message: str) -> NoReturn:
        raise DefinitionError(f"Channel: {message}", str(self.location))


class OutputChannel(Channel):
    """The artifacts that one component will write under one of its output keys."""

    def __init__(self, type: type[Artifact], producer: Producer, output_key: str) -> None:
        super().__init__(type=type, output_key=output_key)
        self.producer = producer

    def future(self) -> FutureArtifacts:
        """Returns the artifacts that the component will produce, for use in a condition."""
        return FutureArtifacts(self)

    def __repr__(self) -> str:
        return f"{self.producer.id}.outputs[{self.output_key!r}] ({self.type.type_name})"


class Comparison(StrEnum):
    """A comparison operator."""

    EQ = "=="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


Place = Literal["property", "custom_property", "uri"]


@dataclass(frozen=True)
class Predicate:
    """A comparison of an artifact's future value with a constant.

    Attributes:
        channel: the channel of the artifact.
        index: index of the artifact in the channel.
        place: where the value is in the artifact.
        name: name of the property; empty for `uri`.
        comparison: the operator.
        value: the constant.
    """

    channel: OutputChannel
    index: int
    place: Place
    name: str
    comparison: Comparison
    value: PropertyValue


@dataclass(frozen=True, eq=False)
class FutureValue:
    """A value that an artifact will have; comparing it creates a Predicate."""

    channel: OutputChannel
    index: int
    place: Place
    name: str = ""

    def __eq__(self, value: object) -> Predicate:  # type: ignore[override]  # as in TFX
        return self._compared(Comparison.EQ, value)

    def __ne__(self, value: object) -> Predicate:  # type: ignore[override]  # as in TFX
        return self._compared(Comparison.NE, value)

    def __lt__(self, value: PropertyValue) -> Predicate:
        return self._compared(Comparison.LT, value)

    def __le__(self, value: PropertyValue) -> Predicate:
        return self._compared(Comparison.LE, value)

    def __gt__(self, value: PropertyValue) -> Predicate:
        return self._compared(Comparison.GT, value)

    def __ge__(self, value: PropertyValue) -> Predicate:
        return self._compared(Comparison.GE, value)

    def _compared(self, comparison: Comparison, value: object) -> Predicate:
        if not isinstance(value, int | float | str):
            raise TypeError(f"a condition can only compare with a number or string, got {value!r}")
        return Predicate(self.channel, self.index, self.place, self.name, comparison, value)


@dataclass(frozen=True)
class FutureArtifact:
    """An artifact that a component will produce."""

    channel: OutputChannel
    index: int

    @property
    def uri(self) -> FutureValue:
        """The artifact's URI."""
        return FutureValue(self.channel, self.index, "uri")

    def property(self, name: str) -> FutureValue:
        """Returns the future value of a property that the artifact type declares."""
        return FutureValue(self.channel, self.index, "property", name)

    def custom_property(self, name: str) -> FutureValue:
        """Returns the future value of a custom property."""
        return FutureValue(self.channel, self.index, "custom_property", name)


@dataclass(frozen=True)
class FutureArtifacts:
    """The artifacts that a channel will contain."""

    channel: OutputChannel

    def __getitem__(self, index: int) -> FutureArtifact:
        return FutureArtifact(self.channel, index)


def _is_artifact_type(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Artifact)
