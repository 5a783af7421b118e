"""The journal of rollouts, a file beside the model config: who moved which label when.

With the journal, a rollback needs neither ML Metadata nor the pipeline's code nor the network.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from prodml.documents import parse_json
from prodml.errors import StorageError, file_operation_error
from prodml.serving.rollouts.label_rules import Placement


@dataclass(frozen=True)
class JournalEntry:
    """One move of labels.

    Attributes:
        id: unique identifier.
        time: Unix time in milliseconds.
        who: who moved the labels.
        action: `canary`, `promote` or `rollback`; `found` for a change made in another way.
        model: name of the model.
        base_path: directory of its versions.
        version: the version that was moved.
        before: the placement before the move.
        after: the placement after the move.
        is_blessed: whether the version was blessed; None if unknown.
        message: the reason for the move.
    """

    id: str
    time: int
    who: str
    action: str
    model: str
    base_path: str
    version: int
    before: Placement
    after: Placement
    is_blessed: bool | None = None
    message: str = ""


def journal_path(config_path: Path) -> Path:
    return config_path.with_name(f"{config_path.name}.journal")


def read_journal(config_path: Path, model: str) -> list[JournalEntry]:
    """Reads the moves of a model's labels, oldest first.

    A last line that was truncated by a crash is skipped.

    Raises:
        StorageError: the journal cannot be read, or another line of it is damaged.
    """
    path = journal_path(config_path)
    try:
        lines = path.read_text().splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: cannot be read: {error}") from error
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            found = parse_json(line)
            found["before"], found["after"] = (
                Placement(**{**found[key], "earlier": tuple(found[key]["earlier"])})
                for key in ("before", "after")
            )
            entries.append(JournalEntry(**found))
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines):
                break
            raise StorageError(
                f"{path}:{number}: the line is damaged ({error}); fix or delete it, the other "
                f"lines do not depend on it"
            ) from error
    return [each for each in entries if each.model == model]


def append_to_journal(config_path: Path, entry: JournalEntry) -> None:
    """Appends a line and syncs it to disk.

    Raises:
        StorageError: the line cannot be written.
    """
    path = journal_path(config_path)
    try:
        with open(path, "a+b") as file:
            # Remove a line that was truncated by a crash, or this one would be joined to it.
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    _remove_partial_line(file)
            file.write(json.dumps(asdict(entry)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise file_operation_error(error, str(path)) from error


def _remove_partial_line(file: object) -> None:
    import io

    assert isinstance(file, io.BufferedRandom)
    file.seek(0)
    whole = file.read()
    file.truncate(whole.rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)
