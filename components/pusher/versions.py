"""Version directories of a model server: made whole elsewhere, put in place by one rename."""

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
"""In a version's directory: who pushed it, and the digests of its files. Servers pass it over."""

_LOCK_NAME = ".prodml-push.lock"
_STAGING = ".staging-"


def push_version(source: str, base: str, origin: str) -> int:
    """Copies a model into `<base>/<version>/` and gives the version.

    The copy is made in a directory beside it whose name starts with a dot, which model servers
    skip, and is synced before the rename. What a killed push leaves is such a directory; the next
    push removes it. A push that was killed after the rename is not made twice: the version that it
    made is found by its origin and its content.

    Args:
        source: directory of the model.
        base: directory of all versions, made where it does not exist.
        origin: tells the push from all others: `pipeline/run/node`.

    Returns:
        The Unix time in seconds, or one more than the highest version there if that is later:
        greater than every version before it, whatever the clock does and whoever pushes with us.

    Raises:
        OSError: the copy failed; no version has appeared.
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
        # Held for a listing and a rename; the kernel frees it when its holder dies.
        with FileLock(os.path.join(base, _LOCK_NAME)):
            version = _rename_to_next(staging, base)
        sync(base)
    return version


def _version_of(base: str, pushed: Mapping[str, object]) -> int | None:
    """The version that this very push made before, if it is still whole."""
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
    """A directory that is locked while it is in use, and removed if it was not renamed."""
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
    """Removes the staging directories whose makers have died."""
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
            # Refused where a model stands: rename replaces nothing but an empty directory. So
            # no version is overwritten even on a filesystem whose locks do not work.
            os.rename(staging, target)
        except OSError:
            if not os.path.exists(target):
                raise
            version += 1
        else:
            return version


def digests(directory: str) -> dict[str, str]:
    """BLAKE2b of every file but our own, by its path below the directory."""
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
