"""Declaration of Pusher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prodml.artifacts import InfraBlessing, Model, ModelBlessing, PushedModel
from prodml.dsl.component import Component
from prodml.dsl.signature import Input, Output, Parameter


@dataclass(frozen=True)
class PushDestination:
    """Where a model is pushed to.

    Attributes:
        filesystem: a directory that a model server watches.
    """

    @dataclass(frozen=True)
    class Filesystem:
        """Every push adds one directory, `<base_directory>/<version>/`.

        Attributes:
            base_directory: the directory of all versions, made where it does not exist.
        """

        base_directory: str

    filesystem: PushDestination.Filesystem


class Pusher(Component):
    """Pushes a blessed model to a directory that a model server watches.

    The version is the time in Unix seconds, or one more than the highest version there, and
    appears by one rename: a server never sees half a model. A model that is not blessed, or whose
    declared blessing is absent, is not pushed; the node succeeds and says why, and `pushed_model`
    carries `pushed` = 0.

    Args:
        model: the model.
        model_blessing: Evaluator's verdict; where it is not declared, none is asked for.
        infra_blessing: InfraValidator's verdict, likewise.
        push_destination: where to.
        custom_config: for a Pusher of one's own; this one does not read it.
    """

    execution_type = "tfx.components.pusher.component.Pusher"

    model: Input[Model]
    model_blessing: Input[ModelBlessing] | None = None
    infra_blessing: Input[InfraBlessing] | None = None
    push_destination: Parameter[PushDestination]
    custom_config: Parameter[dict[str, Any] | None] = None
    pushed_model: Output[PushedModel]
