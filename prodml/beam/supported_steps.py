"""Decides which pipelines the local runner supports; FnApiRunner runs all others."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import apache_beam as beam
from apache_beam.io.iobase import BoundedSource, Read
from apache_beam.options.pipeline_options import (
    DirectOptions,
    ProfilingOptions,
    StandardOptions,
    StreamingOptions,
)
from apache_beam.portability import python_urns
from apache_beam.transforms.trigger import DefaultTrigger
from apache_beam.transforms.util import Reshuffle, ReshufflePerKey
from apache_beam.transforms.window import GlobalWindows

from prodml.beam.reflection import uses_batches, uses_state_or_splitting


class Kind(Enum):
    """What a step does with its elements."""

    IMPULSE = auto()
    READ = auto()
    PAR_DO = auto()
    FORWARD = auto()
    GROUP = auto()
    COMBINE = auto()


@dataclass(frozen=True)
class Unsupported:
    """The reason why FnApiRunner runs a pipeline, as a clause that names the step."""

    reason: str


def unsupported_option(options: Any) -> Unsupported | None:
    """The first option that needs a feature of FnApiRunner; None if there is none."""
    direct = options.view_as(DirectOptions)
    profiling = options.view_as(ProfilingOptions)
    requested = {
        "streaming": options.view_as(StandardOptions).streaming,
        "update_compatibility_version": options.view_as(
            StreamingOptions
        ).update_compatibility_version,
        "direct_num_workers": direct.direct_num_workers not in (None, 1),
        "direct_running_mode": direct.direct_running_mode not in (None, "in_memory"),
        "direct_runner_bundle_repeat": direct.direct_runner_bundle_repeat,
        "direct_test_splits": direct.direct_test_splits,
        "direct_embed_docker_python": direct.direct_embed_docker_python,
        "profile_cpu": profiling.profile_cpu,
        "profile_memory": profiling.profile_memory,
    }
    names = [name for name, is_requested in requested.items() if is_requested]
    return Unsupported(f"of the option {names[0]}") if names else None


def kind_of(node: Any) -> Kind | Unsupported | None:
    """The kind of step as which the local runner runs a transform.

    Args:
        node: an applied transform of Beam's graph.

    Returns:
        None if the transform is a composite, whose parts decide.
    """
    if python_urns.APPLY_COMBINER_PACKING in (node.annotations or ()):
        return Unsupported(f"{node.full_label!r} asks for combiners to be packed")
    kind = _kind(node)
    if isinstance(kind, Unsupported):
        return kind
    if kind is None:
        if node.parts or _does_nothing(node):
            return None
        return Unsupported(f"{node.full_label!r} is a {type(node.transform).__name__}")
    if not all(map(_is_global, node.outputs.values())):
        return Unsupported(f"{node.full_label!r} has windows or a trigger")
    return kind


def _kind(node: Any) -> Kind | Unsupported | None:
    transform = node.transform
    match transform:
        case beam.Impulse():
            return Kind.IMPULSE
        case Read() if isinstance(transform.source, BoundedSource) and _expands_as(transform, Read):
            return Kind.READ
        case Reshuffle() | ReshufflePerKey() if _expands_as(transform, Reshuffle, ReshufflePerKey):
            return Kind.FORWARD
        case beam.Flatten() if not node.parts:
            return Kind.FORWARD
        case beam.GroupByKey() if not node.parts:
            return Kind.GROUP
        case beam.CombinePerKey() if _expands_as(transform, beam.CombinePerKey):
            return None if transform.side_inputs else Kind.COMBINE
        case beam.ParDo() if not node.parts:
            if uses_state_or_splitting(transform):
                return Unsupported(f"{node.full_label!r} has state, timers or a splittable DoFn")
            if uses_batches(transform):
                return Unsupported(f"{node.full_label!r} has a DoFn that takes or yields batches")
            return Kind.PAR_DO
    return None


def _expands_as(transform: Any, *known: Any) -> bool:
    """Whether the transform has the `expand` of one of these classes, which subclasses override."""
    return any(type(transform).expand is kind.expand for kind in known)


def _does_nothing(node: Any) -> bool:
    """Whether `expand` returned only its input, or nothing."""
    return all(output in node.inputs for output in node.outputs.values())


def _is_global(output: Any) -> bool:
    windowing = getattr(output, "windowing", None)
    return windowing is None or (
        isinstance(windowing.windowfn, GlobalWindows)
        # Reshuffle sets another trigger internally, which is not checked here.
        and isinstance(windowing.triggerfn, DefaultTrigger)
    )
