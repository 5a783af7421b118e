"""Deletes request logs by age and by total size."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

from prodml.serving.observation.request_log_writer import SUFFIX

# The file names of RequestLogWriter; other files in the directory are never deleted.
_NAME = re.compile(rf".+-\d{{8}}T\d{{6}}\.\d{{6}}Z-\d{{6,}}{re.escape(SUFFIX)}")


def delete_old_logs(
    directory: str, *, keep_seconds: float, keep_bytes: int, now: float
) -> list[str]:
    """Deletes request logs below a directory that are too old, then the oldest ones until the rest
    is small enough. Files that are still being written are not deleted.

    Args:
        directory: directory with all request logs of a server.
        keep_seconds: maximum age of a file.
        keep_bytes: maximum size of all files together.
        now: seconds since 1970.

    Returns:
        The paths of the deleted files.

    Raises:
        OSError: a file cannot be deleted.
    """
    deleted = []
    size = 0
    for path, status in sorted(_logs(directory), key=lambda log: -log[1].st_mtime):
        size += status.st_size
        if now - status.st_mtime > keep_seconds or size > keep_bytes:
            with contextlib.suppress(FileNotFoundError):  # another server has deleted it
                os.unlink(path)
                deleted.append(path)
    return deleted


def _logs(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    for parent, _, names in os.walk(directory):
        for name in names:
            if _NAME.fullmatch(name):
                path = os.path.join(parent, name)
                with contextlib.suppress(FileNotFoundError):
                    yield path, os.stat(path, follow_symlinks=False)
