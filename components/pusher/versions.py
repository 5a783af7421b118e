"""Version directories of a model server: written in a staging directory, then renamed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping

from filelock import FileLock

from prodml.components.pusher.copying import copy_synced
from prodml.documents import parse_json
from prodml.storage.model_versions import versions_on_disk
from prodml.storage.syncing import sync

PUSH_FILE = ".prodml-push.json"
"""File in a version's directory with the origin of the push and the digests of the files.
Model servers ignore it."""

_LOCK_NAME = ".prodml-push.lock"
_STAGING = ".staging-"


def push_version(source: str, base: str, origin: str) -> int:
    """Copies a model into `<base>/<version>/` and returns the version.

    The copy is written to a staging directory in `base` whose name starts with a dot, which model
    servers skip, and is synced before the rename. A push that was killed leaves only its staging
    directory, which the next push removes. A push that was killed after the rename is not
    repeated: its version is found by origin and content.

    Args:
        source: directory of the model.
        base: directory of all versions, created if it does not exist.
        origin: identifies the push: `pipeline/run/node`.

    Returns:
        The Unix time in seconds, or the highest existing version plus one if that is greater. So
        versions always ascend, even if the clock moves back or several processes push at once.

    Raises:
        OSError: the copy failed; no version was created.
    """
    os.makedirs(base, exist_ok=True)
    _remove_abandoned(base)
    pushed = {"origin": origin, "files": digests(source)}
    earlier = _version_of(base, pushed)
    if earlier is not None:
        return earlier
    with _staging(base) as staging:
        copy_synced(source, staging)
        _write(os.path.join(staging, PUSH_FILE), pushed)
        sync(staging)
        # Locked during a listing and a rename; the kernel releases the lock if the process dies.
        with FileLock(os.path.join(base, _LOCK_NAME)):
            version = _rename_to_next(staging, base)
        sync(base)
    return version


def _version_of(base: str, pushed: Mapping[str, object]) -> int | None:
    """The version that an earlier attempt of this push created; None if none is intact."""
    for version in sorted(versions_on_disk(base), reverse=True):
        directory = os.path.join(base, str(version))
        with (
            contextlib.suppress(OSError, ValueError),
            open(os.path.join(directory, PUSH_FILE), encoding="utf-8") as file,
        ):
            if parse_json(file.read()) == pushed and digests(directory) == pushed["files"]:
                return version
    return None


@contextlib.contextmanager
def _staging(base: str) -> Iterator[str]:
    """Creates a staging directory that is locked while in use, and removed unless renamed."""
    staging = os.path.join(base, f"{_STAGING}{uuid.uuid4().hex}")
    with FileLock(os.path.join(base, _LOCK_NAME)):
        os.mkdir(staging)
        descriptor = os.open(staging, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield staging
    finally:
        os.close(descriptor)
        shutil.rmtree(staging, ignore_errors=True)


def _remove_abandoned(base: str) -> None:
    """Removes the staging directories of processes that have died."""
    with FileLock(os.path.join(base, _LOCK_NAME)):
        for name in os.listdir(base):
            path = os.path.join(base, name)
            with contextlib.suppress(OSError):
                if name.startswith(_STAGING) and _is_abandoned(path):
                    shutil.rmtree(path)


def _is_abandoned(staging: str) -> bool:
    descriptor = os.open(staging, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _rename_to_next(staging: str, base: str) -> int:
    version = max(int(time.time()), max(versions_on_disk(base), default=0) + 1)
    while True:
        target = os.path.join(base, str(version))
        try:
            # os.rename fails if the target is a non-empty directory, so no version is
            # overwritten even on a filesystem without working locks.
            os.rename(staging, target)
        except OSError:
            if not os.path.exists(target):
                raise
            version += 1
        else:
            return version


def digests(directory: str) -> dict[str, str]:
    """BLAKE2b digests of all files except PUSH_FILE, by path relative to the directory."""
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, directory)
            if relative != PUSH_FILE:
                with open(path, "rb") as file:
                    found[relative] = hashlib.file_digest(file, "blake2b").hexdigest()
    return found


def _write(path: str, content: object) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
