"""Files of lines that several processes append to, and that are read while they grow.

A line is whole or it is not there for a reader: a process may be killed in the middle of one.
"""

from __future__ import annotations

import os
import threading


class AppendedLines:
    """Appends whole lines to a file, which it makes, with its directory, for the first of them.

    Each is one write to a file opened for appending, so that lines of several processes do not
    mix, and what was appended outlives the process.
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
            # A disk that fills up takes a part: the next line must not be glued to it.
            self._is_torn = os.write(self._descriptor, text) < len(text)
            if self._is_torn:
                raise OSError(f"only a part of a line fitted into {self._path}")

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
    """What is appended to a file, from its beginning; it need not exist yet."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._position = 0

    def read(self) -> bytes:
        """What has come since the last call; empty where nothing has.

        Raises:
            OSError: the file is there, and cannot be read.
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
    """The whole lines of a file that grows; the last one waits until its newline has come."""

    def __init__(self, path: str) -> None:
        self._file = GrowingFile(path)
        self._rest = b""

    def read(self) -> list[bytes]:
        """The lines, without newlines, that are whole since the last call."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return lines
