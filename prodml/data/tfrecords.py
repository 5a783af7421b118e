"""Reads and writes TFRecord files of serialized messages with TensorFlow's C++ code.

`prodml/serving/values/tfrecords.py` does the same without TensorFlow, for model servers.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from prodml.errors import InputDataError

_READ_BUFFER = 1 << 20


class RecordFile:
    """A writer of a TFRecord file; a context manager that closes it.

    Args:
        path: path of the file; replaced if it exists.
        compression: "GZIP" or "".
    """

    def __init__(self, path: str, compression: str = "") -> None:
        import tensorflow as tf

        self._path = path
        self._full = tf.errors.ResourceExhaustedError
        self._writer = tf.io.TFRecordWriter(path, compression)

    def write(self, records: Iterable[bytes]) -> None:
        """Appends records.

        Raises:
            OSError: the disk is full.
        """
        with self._os_error_if_full():
            for record in records:
                self._writer.write(record)

    def close(self) -> None:
        """Flushes the buffer, and closes the file.

        Raises:
            OSError: the disk is full.
        """
        with self._os_error_if_full():
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _os_error_if_full(self) -> Iterator[None]:
        """Converts TensorFlow's error for a full disk into the OSError that the engine handles."""
        try:
            yield
        except self._full as error:
            raise OSError(errno.ENOSPC, error.message, self._path) from error


def read_records(file: str, batch_size: int) -> Iterator[list[bytes]]:
    """Reads the records of a file, plain or gzipped, in lists of at most `batch_size`.

    Raises:
        InputDataError: the file is damaged; the message has the number of intact records.
    """
    import tensorflow as tf

    with open(file, "rb") as opened:
        compression = "GZIP" if opened.read(2) == b"\x1f\x8b" else ""
    dataset = tf.data.TFRecordDataset([file], compression, buffer_size=_READ_BUFFER)
    try:
        for records in dataset.batch(batch_size).as_numpy_iterator():
            yield records.tolist()
    except tf.errors.DataLossError as error:
        # TensorFlow's message is: {{node}} reason [Op:...] name: ...
        reason = error.message.rpartition("}} ")[2].partition(" [Op:")[0]
        intact = sum(1 for _ in dataset.ignore_errors().as_numpy_iterator())
        raise InputDataError(
            f"{file} is damaged after record {intact}: {reason}; write the file again"
        ) from error
