"""Channels that an author creates."""

from typing import Any

import pytest

from prodml import Channel
from prodml.artifacts import ExampleStatistics
from prodml.errors import DefinitionError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"type": "ExampleStatistics"}, "type must be an artifact type such as Model"),
        ({"producer_component_id": Channel}, "producer_component_id must be a name"),
        ({"producer_component_id": ""}, "producer_component_id must be a name"),
        ({"output_key": 3}, "output_key must be a name"),
    ],
)
def test_an_argument_of_the_wrong_type_is_refused_with_the_authors_line(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(DefinitionError, match=rf"test_channel\.py:\d+: Channel: {message}"):
        Channel(**{"type": ExampleStatistics, **arguments})
