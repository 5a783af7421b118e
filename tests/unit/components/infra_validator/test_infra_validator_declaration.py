"""Invalid declarations of InfraValidator."""

from __future__ import annotations

from typing import Any

import pytest

from prodml.artifacts import Examples, Model
from prodml.components import (
    InfraValidator,
    RequestSpec,
    ServingSpec,
    TensorFlowServing,
    ValidationSpec,
)
from prodml.dsl.channel import Channel
from prodml.errors import DefinitionError

MODEL = {"model": Channel(type=Model)}
EXAMPLES = {"examples": Channel(type=Examples)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"request_spec": RequestSpec()}, "a request_spec but no examples"),
        ({"serving_spec": ServingSpec(tensorflow_serving=TensorFlowServing())}, "without tags"),
        ({"validation_spec": ValidationSpec(num_tries=0)}, "num_tries=0"),
        ({"validation_spec": ValidationSpec(max_memory_bytes=0)}, "max_memory_bytes=0"),
        ({**EXAMPLES, "request_spec": RequestSpec(num_examples=0)}, "num_examples=0"),
    ],
)
def test_an_invalid_declaration_is_rejected(arguments: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        InfraValidator(**MODEL, **arguments)
