"""Version directories of a model server: made whole elsewhere, put in place by one rename."""

from __future__ import annotations

import os
import shutil
import time
import uuid

from filelock import FileLock

from prodml.components.pusher.copying import copy_synced, sync

_LOCK_NAME = ".prodml-push.lock"


def push_version(source: str, base: str) -> int:
    """Copies a model into `<base>/<version>/` and gives the version.

    The copy is made in a directory beside it whose name starts with a dot, which model servers
    skip, and is synced before the rename. What a failed or killed push leaves is such a directory.

    Args:
        source: directory of the model.
        base: directory of all versions, made where it does not exist.

    Returns:
        The Unix time in seconds, or one more than the highest version there if that is later:
        greater than every version before it, whatever the clock does and whoever pushes with us.

    Raises:
        OSError: the copy failed; no version has appeared.
    """
    os.makedirs(base, exist_ok=True)
    staging = os.path.join(base, f".staging-{uuid.uuid4().hex}")
    try:
        copy_synced(source, staging)
        # Held for a listing and a rename; the kernel frees it when its holder dies.
        with FileLock(os.path.join(base, _LOCK_NAME)):
            version = _rename_to_next(staging, base)
        sync(base)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return version


def versions(base: str) -> list[int]:
    """The versions that stand in a directory, ascending."""
    return sorted(int(name) for name in os.listdir(base) if name.isascii() and name.isdigit())


def _rename_to_next(staging: str, base: str) -> int:
    version = max(int(time.time()), max(versions(base), default=0) + 1)
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
