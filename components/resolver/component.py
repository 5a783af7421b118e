"""Declaration of the Resolver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prodml.dsl.channel import Channel
from prodml.dsl.component import Component
from prodml.dsl.locations import author_location
from prodml.dsl.parameters import JsonValue
from prodml.dsl.references import reference
from prodml.dsl.resolution import ResolverStrategy
from prodml.dsl.signature import (
    InputDeclaration,
    OutputDeclaration,
    Parameter,
    ParameterDeclaration,
    Signature,
)
from prodml.errors import DefinitionError


class Resolver(Component):
    """Finds artifacts of earlier runs of this pipeline, one output for each channel.

        Resolver(
            strategy_class=LatestBlessedModelStrategy,
            model=Channel(type=Model),
            model_blessing=Channel(type=ModelBlessing),
        ).with_id("latest_blessed_model")

    Args:
        strategy_class: the strategy that selects artifacts, such as LatestArtifactStrategy.
        config: keyword arguments of the strategy.
        channels: the channels to resolve; each keyword becomes the key of an output.
    """

    kind = "resolver"
    execution_type = "tfx.dsl.components.common.resolver.Resolver"

    strategy_class: Parameter[str]
    config: Parameter[dict[str, JsonValue]] = {}  # noqa: RUF012 (an annotation, never changed)

    def __init__(
        self,
        strategy_class: type[ResolverStrategy],
        config: Mapping[str, JsonValue] | None = None,
        **channels: Channel,
    ) -> None:
        for key, channel in channels.items():
            if not isinstance(channel, Channel):
                raise DefinitionError(
                    f"Resolver channel {key!r} must be a Channel(type=...), got {channel!r}",
                    str(author_location()),
                )
        self.signature = Signature(
            inputs={
                key: InputDeclaration(key, channel.type, is_optional=True)
                for key, channel in channels.items()
            },
            outputs={
                key: OutputDeclaration(key, channel.type) for key, channel in channels.items()
            },
            parameters={
                "strategy_class": ParameterDeclaration("strategy_class", str, ""),
                "config": ParameterDeclaration("config", dict[str, Any], {}),
            },
        )
        arguments: dict[str, Any] = dict(channels)
        super().__init__(
            strategy_class=reference(strategy_class), config=dict(config or {}), **arguments
        )
