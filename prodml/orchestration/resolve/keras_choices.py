"""Chooses the Keras that each node of a run gets as `tf.keras`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from prodml.compiler.spec import NodeSpec, PipelineSpec
from prodml.dsl.parameters import Watched
from prodml.keras_choice import DEFAULT, KerasName

_PARAMETER = "keras"
_OURS = "prodml."


@dataclass(frozen=True)
class KerasChoices:
    """The choices of one run.

    Attributes:
        process: the choice of the run's own process.
        nodes: choice by id of each node that runs the author's code; no other code uses
            `tf.keras`.
    """

    process: KerasName = DEFAULT
    nodes: Mapping[str, KerasName] = field(default_factory=dict)


def keras_choices(spec: PipelineSpec, configured: KerasName) -> KerasChoices:
    """Chooses a Keras for each node; its parameter `keras` overrides the configuration.

    If all nodes with such a parameter have the same choice, the process gets it, too. So a pipeline
    with one Trainer runs in one process, with one meaning of `tf.keras` in all user modules.

    Args:
        configured: the choice of the configuration.
    """
    declared = {node.id: _declared(node) or configured for node in spec.nodes if _can_choose(node)}
    process = next(iter(declared.values())) if len({*declared.values()}) == 1 else configured
    others = {node.id: process for node in spec.nodes if _runs_authors_code(node)}
    return KerasChoices(process, {**others, **declared})


def _can_choose(node: NodeSpec) -> bool:
    return any(p.name == _PARAMETER and p.value in _ALLOWED for p in node.parameters)


def _declared(node: NodeSpec) -> KerasName | None:
    declared: KerasName | None = node.parameter(_PARAMETER)
    return declared


def _runs_authors_code(node: NodeSpec) -> bool:
    if not node.component.startswith(_OURS):
        return True
    marks = {mark.kind for parameter in node.parameters for mark in parameter.watched}
    return not marks.isdisjoint({Watched.MODULE, Watched.FUNCTION})


_ALLOWED = (None, *get_args(KerasName))
