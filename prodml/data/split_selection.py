"""Selects the splits of an artifact that a component processes."""

from __future__ import annotations

from collections.abc import Iterable

from prodml.artifacts import Artifact
from prodml.errors import InputDataError
from prodml.suggestions import suggest


def selected_splits(artifact: Artifact, exclude_splits: Iterable[str]) -> list[str]:
    """The splits of an artifact, in the artifact's order, without the excluded splits.

    Raises:
        InputDataError: an excluded split does not exist, or all splits are excluded.
    """
    excluded = set(exclude_splits)
    for name in sorted(excluded.difference(artifact.split_names)):
        raise InputDataError(
            f"exclude_splits: {artifact.type_name} at {artifact.uri} has no split {name!r}"
            f"{suggest(name, artifact.split_names)}"
        )
    selected = [name for name in artifact.split_names if name not in excluded]
    if not selected:
        raise InputDataError(
            f"{artifact.type_name} at {artifact.uri} has no split left to process: "
            f"its splits are {artifact.split_names or 'none'}, exclude_splits is "
            f"{sorted(excluded) or 'empty'}"
        )
    return selected
