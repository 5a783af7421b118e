"""Canary, promotion and rollback of a model's versions, by labels in the model config.

With a running server, a label moves only to an available version: first the server loads the
versions, then the labels move, then the file is replaced. Without a server, the file is replaced,
and a server that polls it reloads it. The config is changed completely or not at all; if the server
rejects it, the server gets the previous config again.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prodml.errors import RolloutError, ServingError
from prodml.serving.clients.endpoint import LOADING_SECONDS
from prodml.serving.configuration.model_config import (
    default_config_path,
    entry,
    locked,
    read_model_config,
    with_versions,
    write_model_config,
)
from prodml.serving.rollouts import label_rules as rules
from prodml.serving.rollouts.label_rules import CANARY, STABLE, Placement
from prodml.serving.rollouts.rollout_journal import JournalEntry, append_to_journal, read_journal
from prodml.serving.rollouts.served_change import ServedChange, apply_change
from prodml.storage.model_versions import versions_on_disk

if TYPE_CHECKING:
    from prodml.serving.clients.grpc_client import GrpcClient

_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt", "model.tflite")


@dataclass(frozen=True)
class RolloutTarget:
    """The model whose labels move.

    Attributes:
        base_path: directory of its versions.
        model: its name in the model config; by default the directory's name.
        config_path: the model config; by default `models.config` beside the directory.
    """

    base_path: str
    model: str
    config_path: Path

    @classmethod
    def of(
        cls, base_path: str, model: str | None = None, config_path: str | None = None
    ) -> RolloutTarget:
        """Creates the target for a directory of versions, with defaults for the rest."""
        absolute = os.path.abspath(base_path)
        return cls(
            absolute,
            model or os.path.basename(absolute),
            Path(os.path.abspath(config_path)) if config_path else default_config_path(absolute),
        )


@dataclass(frozen=True)
class Author:
    """Who moves the labels, and why."""

    who: str
    message: str = ""


class Rollout:
    """Moves the labels of one model.

    Args:
        target: the model.
        blessings: whether a version was blessed, by version, if known.
        server: the running server to reconfigure; None to write the file only.
        timeout_seconds: time limit for the server to load a version.
    """

    def __init__(
        self,
        target: RolloutTarget,
        blessings: Mapping[int, bool],
        server: GrpcClient | None = None,
        timeout_seconds: float = LOADING_SECONDS,
    ) -> None:
        self._target = target
        self._server = server
        self._timeout_seconds = timeout_seconds
        journaled = {
            e.version: e.is_blessed
            for e in read_journal(target.config_path, target.model)
            if e.is_blessed is not None
        }
        self._blessings = {**journaled, **blessings}

    def placement(self) -> Placement:
        """Returns the labels from the model config, and earlier stable versions from the
        journal."""
        return current_placement(self._target)

    def canary(self, author: Author, version: int | None = None) -> JournalEntry:
        """Makes a version, by default the newest, the canary beside the stable one.

        If no version is stable yet, the newest one below it becomes stable.

        Raises:
            RolloutError: the version does not exist or has no model, or there is no version to be
                the stable one.
            ServingError: the server could not serve it; nothing has changed.
        """

        def move(now: Placement) -> tuple[Placement, int]:
            chosen = version if version is not None else max(self._versions(), default=None)
            if chosen is None:
                raise RolloutError(f"there is no version in {self._target.base_path}")
            self._check(chosen)
            if now.stable is None:
                below = [each for each in self._versions() if each < chosen]
                now = Placement(stable=max(below, default=None))
            return rules.canary(now, chosen), chosen

        return self._move("canary", author, move)

    def promote(self, author: Author, version: int | None = None) -> JournalEntry:
        """Makes the canary, or a named version, stable; the newest one if there are no labels.

        Raises:
            RolloutError, ServingError: as `canary`.
        """

        def move(now: Placement) -> tuple[Placement, int]:
            chosen = version
            if chosen is None and not now.labels:
                chosen = max(self._versions(), default=None)
            moved = rules.promote(now, chosen)
            assert moved.stable is not None
            self._check(moved.stable)
            return moved, moved.stable

        return self._move("promote", author, move)

    def rollback(self, author: Author, version: int | None = None) -> JournalEntry:
        """Removes the canary; without a canary, returns to the previous stable version that is not
        known as not blessed.

        Raises:
            RolloutError, ServingError: as `canary`.
        """

        def move(now: Placement) -> tuple[Placement, int]:
            whole = self._versions()
            moved = rules.rollback(
                now, lambda v: v in whole and self._blessings.get(v) is not False, version
            )
            assert moved.stable is not None
            return moved, moved.stable

        return self._move("rollback", author, move)

    def _move(
        self,
        action: str,
        author: Author,
        move: Callable[[Placement], tuple[Placement, int]],
    ) -> JournalEntry:
        target = self._target
        with locked(target.config_path):
            old = read_model_config(target.config_path)
            before = current_placement(target)
            self._record_external_change(before)
            after, version = move(before)
            on_disk = self._versions()
            kept = Placement(
                after.stable, after.canary, tuple(v for v in after.earlier if v in on_disk)
            )
            new = with_versions(old, target.model, target.base_path, kept.served, kept.labels)
            if self._server is None:
                write_model_config(target.config_path, new)
            else:
                self._move_on_server(self._server, old, new, kept)
            recorded = self._entry(action, author, version, before, kept)
            append_to_journal(target.config_path, recorded)
        return recorded

    def _move_on_server(self, server: GrpcClient, old: Any, new: Any, after: Placement) -> None:
        target = self._target
        found = entry(old, target.model)
        labels = dict(found.version_labels) if found is not None else {}
        served = set(found.model_version_policy.specific.versions) if found is not None else set()
        present = self._available(server)
        both = with_versions(
            old, target.model, target.base_path, after.served | served | present, labels
        )
        # A model that the config does not list is served at its newest version.
        before = old if found else with_versions(old, target.model, target.base_path, (), {})
        change = ServedChange(target.model, after.served, before, both, new)
        try:
            apply_change(server, change, target.config_path, self._timeout_seconds)
        except ServingError as error:
            raise ServingError(
                error.code,
                f"{server.endpoint.address} did not accept the rollout; it still serves the "
                f"previous config: {error}",
            ) from error

    def _available(self, server: GrpcClient) -> set[int]:
        try:
            states = server.status(self._target.model)
        except ServingError as error:
            if error.code == "NOT_FOUND":
                return set()
            raise
        available = 30
        return {number for number, each in states.items() if each.state == available}

    def _record_external_change(self, now: Placement) -> None:
        """Adds a change to the journal that was made by hand, or by a rollout that crashed before
        it wrote its line."""
        target = self._target
        entries = read_journal(target.config_path, target.model)
        known = entries[-1].after if entries else Placement()
        if known.labels == now.labels or now.stable is None:
            return
        author = Author("unknown", "found in the model config")
        append_to_journal(target.config_path, self._entry("found", author, now.stable, known, now))

    def _entry(
        self, action: str, author: Author, version: int, before: Placement, after: Placement
    ) -> JournalEntry:
        return JournalEntry(
            id=uuid.uuid4().hex,
            time=int(time.time() * 1000),
            who=author.who,
            action=action,
            model=self._target.model,
            base_path=self._target.base_path,
            version=version,
            before=before,
            after=after,
            is_blessed=self._blessings.get(version),
            message=author.message,
        )

    def _versions(self) -> dict[int, str]:
        return complete_versions(self._target.base_path)

    def _check(self, version: int) -> None:
        if version not in self._versions():
            there = ", ".join(map(str, sorted(self._versions()))) or "none"
            raise RolloutError(
                f"{self._target.base_path} has no version {version} with a model; it has: {there}"
            )
        if self._blessings.get(version) is False:
            raise RolloutError(f"version {version} was not blessed")


def complete_versions(base_path: str) -> dict[int, str]:
    """Returns the versions on disk that contain a model, by number.

    Raises:
        RolloutError: the directory is absent or cannot be read.
    """
    try:
        found = versions_on_disk(base_path)
    except OSError as error:
        raise RolloutError(
            f"{base_path}: {error.strerror}; pass the directory of a model's versions"
        ) from error
    return {
        number: path
        for number, path in found.items()
        if any(os.path.isfile(os.path.join(path, name)) for name in _MODEL_FILES)
    }


def current_placement(target: RolloutTarget) -> Placement:
    """Returns the current placement of a model's labels."""
    found = entry(read_model_config(target.config_path), target.model)
    labels = dict(found.version_labels) if found is not None else {}
    stable, tried = labels.get(STABLE), labels.get(CANARY)
    for known in reversed(read_journal(target.config_path, target.model)):
        if known.after.stable == stable:
            return Placement(stable, tried, known.after.earlier)
        if known.before.stable == stable:
            return Placement(stable, tried, known.before.earlier)
        if known.after.stable is not None and stable is not None:
            # Changed without a journal entry: the journal's stable version is an earlier one.
            return Placement(stable, tried, (*known.after.earlier, known.after.stable))
    return Placement(stable, tried)
