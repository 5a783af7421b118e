"""Options of the request logs: where they are written, and how many are kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RequestLogOptions:
    """Where request logs are written, and their limits.

    Attributes:
        directory: directory that contains all request logs; empty to write none.
        keep_seconds: files older than this are deleted.
        keep_bytes: the oldest files are deleted if all together are larger than this.
        max_file_bytes: a file of this size is closed and the next one started.
        max_file_seconds: a file of this age is closed and the next one started.
        max_queued_records: maximum number of records that wait for the disk.
        max_queued_bytes: maximum bytes of the records that wait or are being written.
    """

    directory: str
    keep_seconds: float
    keep_bytes: int
    max_file_bytes: int = 64 << 20
    max_file_seconds: float = 60.0
    max_queued_records: int = 4_096
    max_queued_bytes: int = 64 << 20
