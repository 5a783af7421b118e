"""How long request logs are kept: by age, and by the size of all of them together."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

from prodml.serving.observation.request_log_writer import SUFFIX

# As RequestLogWriter names files; anything else in the directory is not ours to delete.
_NAME = re.compile(rf".+-\d{{8}}T\d{{6}}\.\d{{6}}Z-\d{{6,}}{re.escape(SUFFIX)}")


def delete_old_logs(
    directory: str, *, keep_seconds: float, keep_bytes: int, now: float
) -> list[str]:
    """Deletes the request logs below a directory that are too old, then the oldest until the rest
    is small enough. Files that are still written are not touched.

    Args:
        directory: where all request logs of a server lie.
        keep_seconds: the age that a file may reach.
        keep_bytes: the size that all files may have together.
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
