"""Canary, promotion and rollback of a model's versions, by labels in the model config.

With a running server, a label moves only to a version that answers: first the versions are served,
then the labels move, then the file is replaced. Without one, the file is replaced and a server that
polls it follows. A config either stands as before or as asked for; a server that refuses is given
what it had.
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
from prodml.serving.rollouts.served_change import ServedChange, make_change
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
        """The target of a directory, and what else is said of it."""
        absolute = os.path.abspath(base_path)
        return cls(
            absolute,
            model or os.path.basename(absolute),
            Path(os.path.abspath(config_path)) if config_path else default_config_path(absolute),
        )


@dataclass(frozen=True)
class Author:
    """Who asks for a move, and why."""

    who: str
    message: str = ""


class Rollout:
    """Moves the labels of one model.

    Args:
        target: the model.
        blessings: whether a version was blessed, where that is known.
        server: the server to move them on, if one is to be told.
        timeout_seconds: how long a version may take to load there.
    """

    def __init__(
        self,
        target: RolloutTarget,
        blessings: Mapping[int, bool],
        server: GrpcClient | None = None,
        timeout_seconds: float = 120.0,
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
        """Where the labels stand, by the model config; what was stable before, by the journal."""
        return current_placement(self._target)

    def canary(self, author: Author, version: int | None = None) -> JournalEntry:
        """Tries a version, by default the newest, beside the stable one.

        Where none is stable yet, the newest one below it becomes so.

        Raises:
            RolloutError: the version is not there or not whole, or there is nothing beside it.
            ServingError: the server could not serve it; everything is as before.
        """

        def move(now: Placement) -> tuple[Placement, int]:
            chosen = version if version is not None else max(self._whole(), default=None)
            if chosen is None:
                raise RolloutError(f"there is no version under {self._target.base_path}")
            self._check(chosen)
            if now.stable is None:
                below = [each for each in self._whole() if each < chosen]
                now = Placement(stable=max(below, default=None))
            return rules.canary(now, chosen), chosen

        return self._move("canary", author, move)

    def promote(self, author: Author, version: int | None = None) -> JournalEntry:
        """Makes the canary, or a named version, stable; the newest one where there is no label.

        Raises:
            RolloutError, ServingError: as `canary`.
        """

        def move(now: Placement) -> tuple[Placement, int]:
            chosen = version
            if chosen is None and not now.labels:
                chosen = max(self._whole(), default=None)
            moved = rules.promote(now, chosen)
            assert moved.stable is not None
            self._check(moved.stable)
            return moved, moved.stable

        return self._move("promote", author, move)

    def rollback(self, author: Author, version: int | None = None) -> JournalEntry:
        """Takes the canary back; without one, goes back to the blessed version before.

        Raises:
            RolloutError, ServingError: as `canary`.
        """

        def move(now: Placement) -> tuple[Placement, int]:
            whole = self._whole()
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
            self._journal_what_was_found(before)
            after, version = move(before)
            on_disk = self._whole()
            kept = Placement(
                after.stable, after.canary, tuple(v for v in after.earlier if v in on_disk)
            )
            new = with_versions(old, target.model, target.base_path, kept.served, kept.labels)
            if self._server is None:
                write_model_config(target.config_path, new)
            else:
                self._move_on_server(self._server, old, new, kept)
            made = self._entry(action, author, version, before, kept)
            append_to_journal(target.config_path, made)
        return made

    def _move_on_server(self, server: GrpcClient, old: Any, new: Any, after: Placement) -> None:
        target = self._target
        found = entry(old, target.model)
        labels = dict(found.version_labels) if found is not None else {}
        served = set(found.model_version_policy.specific.versions) if found is not None else set()
        present = self._available(server)
        both = with_versions(
            old, target.model, target.base_path, after.served | served | present, labels
        )
        # A model that the config did not name follows its newest version.
        before = old if found else with_versions(old, target.model, target.base_path, (), {})
        change = ServedChange(target.model, after.served, before, both, new)
        try:
            make_change(server, change, target.config_path, self._timeout_seconds)
        except ServingError as error:
            raise ServingError(
                error.code,
                f"{server.endpoint.address} did not take the move; what it serves has not "
                f"changed: {error}",
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

    def _journal_what_was_found(self, now: Placement) -> None:
        """Notes a change that the journal does not know: of a crash before its line, or by hand."""
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

    def _whole(self) -> dict[int, str]:
        return whole_versions(self._target.base_path)

    def _check(self, version: int) -> None:
        if version not in self._whole():
            there = ", ".join(map(str, sorted(self._whole()))) or "none"
            raise RolloutError(
                f"{self._target.base_path} has no whole version {version}; it has: {there}"
            )
        if self._blessings.get(version) is False:
            raise RolloutError(f"version {version} was not blessed")


def whole_versions(base_path: str) -> dict[int, str]:
    """The versions on disk that hold a model, by number.

    Raises:
        RolloutError: the directory is absent or cannot be read.
    """
    try:
        found = versions_on_disk(base_path)
    except OSError as error:
        raise RolloutError(
            f"{base_path}: {error.strerror}; name the directory of a model's versions"
        ) from error
    return {
        number: path
        for number, path in found.items()
        if any(os.path.isfile(os.path.join(path, name)) for name in _MODEL_FILES)
    }


def current_placement(target: RolloutTarget) -> Placement:
    """Where the labels of a model stand."""
    found = entry(read_model_config(target.config_path), target.model)
    labels = dict(found.version_labels) if found is not None else {}
    stable, tried = labels.get(STABLE), labels.get(CANARY)
    for known in reversed(read_journal(target.config_path, target.model)):
        if known.after.stable == stable:
            return Placement(stable, tried, known.after.earlier)
        if known.before.stable == stable:
            return Placement(stable, tried, known.before.earlier)
        if known.after.stable is not None and stable is not None:
            # Moved past the journal: what the journal knows as stable was so before.
            return Placement(stable, tried, (*known.after.earlier, known.after.stable))
    return Placement(stable, tried)
