"""Reads what is recorded about releases: pushed models, and the moves of labels."""

from __future__ import annotations

from collections.abc import Iterable

from prodml.metadata.messages import ROLLOUT, artifact_record
from prodml.metadata.queries import newest, quoted
from prodml.metadata.records import ArtifactRecord
from prodml.metadata.store import Store

_MANY = 10_000


class ReleaseReader:
    """Reads of pushed models and rollouts.

    Args:
        store: an open store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def rollouts(self, names: Iterable[str]) -> set[str]:
        """The names, of those given, whose moves of labels are recorded."""
        wanted = list(names)
        self._store.execution_type(ROLLOUT)
        listed = ", ".join(map(quoted, wanted))
        where = f"type = '{ROLLOUT}' AND name IN ({listed})"
        if not wanted:
            return set()
        found = self._store.read(
            "cannot read the rollouts",
            lambda store: store.get_executions(newest(len(wanted), where)),
        )
        return {execution.name for execution in found}

    def pushed_models(self, destinations: Iterable[str]) -> list[ArtifactRecord]:
        """The PushedModel artifacts that were pushed to these directories, newest first."""
        wanted = list(destinations)
        listed = ", ".join(map(quoted, wanted))
        where = (
            f"type = 'PushedModel' AND custom_properties.pushed_destination.string_value IN "
            f"({listed})"
        )
        if not wanted:
            return []
        found = self._store.read(
            "cannot read the pushed models",
            lambda store: store.get_artifacts(newest(_MANY, where)),
        )
        return [artifact_record(artifact) for artifact in found]
