"""Files of lines that several processes append to, and that are read while they grow.

A reader sees only complete lines: a process may be killed while it writes one.
"""

from __future__ import annotations

import os
import threading


class AppendedLines:
    """Appends complete lines to a file; the first one creates the file and its directory.

    Each line is one write to a file opened for appending, so that lines of several processes do
    not mix, and appended lines survive the process.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._descriptor = -1
        self._is_torn = False

    def append(self, line: bytes) -> None:
        """Appends a line, given without its newline.

        Raises:
            OSError: the filesystem refused.
        """
        with self._lock:
            if self._descriptor < 0:
                self._open()
            text = (b"\n" if self._is_torn else b"") + line + b"\n"
            # A full disk can accept part of a line: the next line must not be joined to it.
            self._is_torn = os.write(self._descriptor, text) < len(text)
            if self._is_torn:
                raise OSError(f"only part of a line was written to {self._path}")

    def close(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _open(self) -> None:
        os.makedirs(os.path.dirname(os.path.abspath(self._path)), exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o644)
        size = os.fstat(self._descriptor).st_size
        self._is_torn = size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"


class GrowingFile:
    """Reads a file piece by piece while it grows; the file need not exist yet."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._position = 0

    def read(self) -> bytes:
        """The bytes appended since the last call; empty if there are none.

        Raises:
            OSError: the file exists, but cannot be read.
        """
        try:
            with open(self.path, "rb") as file:
                file.seek(self._position)
                new = file.read()
        except FileNotFoundError:
            return b""
        self._position += len(new)
        return new


class GrowingLines:
    """Reads the complete lines of a file while it grows."""

    def __init__(self, path: str) -> None:
        self._file = GrowingFile(path)
        self._rest = b""

    def read(self) -> list[bytes]:
        """The lines, without newlines, that were completed since the last call."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return lines
