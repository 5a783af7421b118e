"""Writes the files of a request log: TFRecord files that appear only when complete."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prodml.serving.values.tfrecords import DamagedRecordError, read_records

SUFFIX = ".tfrecord"
_PARTIAL = ".partial"


class RequestLogWriter:
    """Writes framed records to `<prefix>-<UTC time>-<number>.tfrecord`.

    A file is written as `.<name>.partial` in the same directory, under a lock, and renamed when it
    is full, old or closed. Sorted by name, the files are in the order of their records. Only this
    user can read files and new directories, because requests may contain personal data. Use it in
    one thread only.

    Args:
        prefix: directory and start of the file names.
        max_bytes: size at which a file is full.
        max_seconds: age at which a file is old.
    """

    def __init__(self, prefix: str, max_bytes: int, max_seconds: float) -> None:
        self.prefix = prefix
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._directory, self._name = os.path.split(os.path.abspath(prefix))
        if prefix.endswith("/"):
            self._directory, self._name = os.path.abspath(prefix), "requests"
        self._file: _OpenFile | None = None
        self._lost: Counter[str] = Counter()
        self._number = 0
        self._last_time = ""

    def recover(self) -> None:
        """Creates the directory, and publishes the complete records of files that a stopped server
        left.

        Raises:
            OSError: the directory cannot be created, or a file cannot be recovered; the other files
                are recovered.
        """
        _make_private(self._directory)
        pattern = f".{glob.escape(self._name)}-*{SUFFIX}{_PARTIAL}"
        failed = None
        for path in glob.glob(os.path.join(glob.escape(self._directory), pattern)):
            try:
                _recover_file(path)
            except FileNotFoundError:
                continue  # another server has recovered it
            except OSError as error:
                failed = error
        if failed is not None:
            raise failed

    def write(self, models: Counter[str], records: bytes) -> None:
        """Writes all of the records to the current file, or raises an error.

        Args:
            models: the number of records per model, to count records that are lost later.
            records: the framed records, concatenated.

        Raises:
            OSError: the write failed; none of the records is in a file.
        """
        if self._file is not None and not self._file.is_in_place():
            # The file or its directory was removed, so records written to it would be lost.
            self._abandon()
        if self._file is None:
            self._file = self._open_file()
        file = self._file
        try:
            _write_all(file.descriptor, records)
        except OSError:
            with contextlib.suppress(OSError):
                self._publish()
            raise
        file.size += len(records)
        file.models += models

    def rotate(self) -> None:
        """Publishes the current file, if it is full or old.

        Raises:
            OSError: the file could not be renamed; `take_lost` returns its records.
        """
        if self._file is not None and self.seconds_to_rotation() == 0:
            self._publish()

    def close(self) -> None:
        """Publishes the current file.

        Raises:
            OSError: as for `rotate`.
        """
        if self._file is not None:
            self._publish()

    def seconds_to_rotation(self) -> float | None:
        """Returns the seconds until the current file is full or old; None if there is no file."""
        if self._file is None:
            return None
        if self._file.size >= self._max_bytes:
            return 0.0
        return max(0.0, self._file.opened_at + self._max_seconds - time.monotonic())

    def take_lost(self) -> Counter[str]:
        """Returns the number of records per model that were written and then lost with their file;
        counts each record once."""
        lost, self._lost = self._lost, Counter()
        return lost

    def _open_file(self) -> _OpenFile:
        while True:
            # Never earlier than the last name, even if the clock is set back, because the names
            # must be in the order of the records.
            now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            self._last_time = max(now, self._last_time)
            self._number += 1
            name = f"{self._name}-{self._last_time}-{self._number:06d}{SUFFIX}"
            partial = os.path.join(self._directory, f".{name}{_PARTIAL}")
            try:
                descriptor = os.open(
                    partial, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600
                )
            except FileExistsError:
                continue
            file = _OpenFile(descriptor, partial, os.path.join(self._directory, name))
            # Before the file was locked, another server may have recovered it as a leftover.
            if _lock(descriptor) and file.is_in_place():
                return file
            os.close(descriptor)

    def _publish(self) -> None:
        file = self._file
        assert file is not None
        self._file = None
        try:
            # Remove a record that was truncated by a full disk.
            os.ftruncate(file.descriptor, file.size)
            if file.size:
                os.fsync(file.descriptor)
                os.rename(file.partial, file.path)
            else:
                os.unlink(file.partial)
        except OSError:
            self._lost += file.models
            raise
        finally:
            os.close(file.descriptor)

    def _abandon(self) -> None:
        file, self._file = self._file, None
        assert file is not None
        self._lost += file.models
        os.close(file.descriptor)


@dataclass
class _OpenFile:
    descriptor: int
    partial: str
    path: str
    size: int = 0
    models: Counter[str] = field(default_factory=Counter)
    opened_at: float = field(default_factory=time.monotonic)

    def is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.stat(self.partial), os.fstat(self.descriptor))
        except FileNotFoundError:
            return False


def _make_private(directory: str) -> None:
    # Not os.makedirs, whose mode is the last directory's only.
    if not os.path.isdir(directory):
        _make_private(os.path.dirname(directory))
        with contextlib.suppress(FileExistsError):  # another server has created it
            os.mkdir(directory, 0o700)


def _recover_file(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if not _lock(descriptor):
            return  # a server is writing it
        size = 0
        try:
            for record in read_records(path):
                size += len(record) + 16
        except DamagedRecordError as error:
            size = error.offset
        os.ftruncate(descriptor, size)
        if size:
            directory, name = os.path.split(path)
            os.rename(path, os.path.join(directory, name[1 : -len(_PARTIAL)]))
        else:
            os.unlink(path)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
