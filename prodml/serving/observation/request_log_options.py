"""Where request logs are written, and how many are kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RequestLogOptions:
    """Where request logs are written, and how much of them.

    Attributes:
        directory: the directory that they stay in; empty if none may be written.
        keep_seconds: files older than this are deleted.
        keep_bytes: the oldest files are deleted until all together are no larger.
        max_file_bytes: a file that has reached this size is closed, and another begun.
        max_file_seconds: so is one of this age.
        max_queued_records: records that may wait for the disk.
        max_queued_bytes: size of those that wait or are being written.
    """

    directory: str = ""
    keep_seconds: float = 30 * 86_400.0
    keep_bytes: int = 10 << 30
    max_file_bytes: int = 64 << 20
    max_file_seconds: float = 60.0
    max_queued_records: int = 4_096
    max_queued_bytes: int = 64 << 20
