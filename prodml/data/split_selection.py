"""Which splits of an artifact a component works on."""

from __future__ import annotations

from collections.abc import Iterable

from prodml.artifacts import Artifact
from prodml.errors import InputDataError
from prodml.suggestions import suggest


def selected_splits(artifact: Artifact, exclude_splits: Iterable[str]) -> list[str]:
    """The splits of an artifact, in its order, without those excluded.

    Raises:
        InputDataError: a split to exclude does not exist, or none is left.
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
            f"{artifact.type_name} at {artifact.uri} has no split left to work on: "
            f"it has {artifact.split_names or 'none'}, excluded are {sorted(excluded) or 'none'}"
        )
    return selected
