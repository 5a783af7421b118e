"""Writes samples of requests and their answers to files without delaying the requests."""

from __future__ import annotations

import errno
import functools
import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import logging_config_pb2

from prodml.serving.observation.metrics import ServerMetrics
from prodml.serving.observation.request_log_options import RequestLogOptions
from prodml.serving.observation.request_log_records import LogTarget, completed_record
from prodml.serving.observation.request_log_retention import delete_old_logs
from prodml.serving.observation.request_log_writer import RequestLogWriter
from prodml.serving.values.tfrecords import framed

logger = logging.getLogger(__name__)

_WARN_EVERY_SECONDS = 60.0
# The writer takes the GIL from the requests each time it wakes up, so it wakes up rarely.
_GATHER_SECONDS = 0.05
_CHUNK_BYTES = 256 << 10
# After a disk failure, not every record retries to write.
_RETRY_AFTER_SECONDS = 1.0
_DELETE_EVERY_SECONDS = 60.0


class RequestLog:
    """Writes a sample of each model's requests and answers. Requests never wait or fail because of
    it.

    A record is a PredictionLog with its `log_metadata`. The records of a prefix are in the order
    of their requests, in TFRecord files that appear only when complete (RequestLogWriter). Records
    that could not be written are counted by status, DROPPED if the queue was full. A warning is
    logged at most once per minute.

    Args:
        metrics: counts every sampled request by its status.
        options: where request logs are written, and their limits.
    """

    def __init__(self, metrics: ServerMetrics, options: RequestLogOptions) -> None:
        self._metrics = metrics
        self._options = options
        self._targets: Mapping[str, LogTarget] = {}
        self._changed = threading.Condition(threading.Lock())
        self._queue: deque[_Record] = deque()
        self._queued_bytes = 0
        self._being_written: deque[_Record] = deque()
        self._is_reconfigured = False
        self._is_closed = False
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._writers: dict[str, _Writing] = {}
        self._deletes_at = float("-inf")
        self._warned_at = float("-inf")
        self._failed_since_warning = 0

    def check(self, configs: Mapping[str, logging_config_pb2.LoggingConfig]) -> None:
        """Checks the arguments of `configure` without applying them.

        Raises:
            ServingError: a log type is unknown, or a prefix is missing or outside of the directory
                for request logs.
        """
        self._targets_of(configs)

    def configure(self, configs: Mapping[str, logging_config_pb2.LoggingConfig]) -> None:
        """Sets which models are logged from now on.

        Args:
            configs: the logging configs by model; a model without one is not logged.

        Raises:
            ServingError: as `check`; nothing has changed.
        """
        targets = self._targets_of(configs)
        self._targets = targets
        with self._changed:
            self._is_reconfigured = True
            self._changed.notify()
        if targets and self._thread is None:
            # A daemon thread, because a hanging disk must not prevent the server from ending.
            self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
            self._thread.start()

    def offer(self, model: str, log: Callable[[], prediction_log_pb2.PredictionLog]) -> None:
        """Queues a request for the log if it is sampled. Never blocks or raises.

        Args:
            model: name of the model.
            log: returns the record; called only if the request is sampled.
        """
        target = self._targets.get(model)
        if target is None or not (target.rate >= 1 or random.random() < target.rate):
            return
        if len(self._queue) >= self._options.max_queued_records:
            self._failed(model, "DROPPED", "the queue is full")
            return
        try:
            # At once: its size is what bounds the memory, and the caller may reuse its messages.
            record = framed(completed_record(log(), model, target).SerializeToString())
        except Exception as error:
            self._failed(model, "INTERNAL", f"no record: {error}")
            return
        with self._changed:
            taken = (
                not self._is_closed
                and len(self._queue) < self._options.max_queued_records
                and self._queued_bytes + len(record) <= self._options.max_queued_bytes
            )
            if taken:
                self._queue.append(_Record(model, target.prefix, record))
                self._queued_bytes += len(record)
                if len(self._queue) == 1:
                    self._changed.notify()
        if not taken:
            self._failed(model, "DROPPED", "the queue is full")

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Writes the queued records and stops; drops records that are not written in time."""
        self._closing.set()
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is None:
            return
        self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            with self._changed:
                left = [*self._being_written, *self._queue]
                self._being_written.clear()
                self._queue.clear()
            for record in left:
                self._metrics.request_logged(record.model, "DROPPED")
            logger.warning(
                "Request log: dropped %d records that the disk did not accept in time", len(left)
            )

    def _targets_of(
        self, configs: Mapping[str, logging_config_pb2.LoggingConfig]
    ) -> dict[str, LogTarget]:
        return {
            model: LogTarget.of(model, config, self._options.directory)
            for model, config in configs.items()
            if config.sampling_config.sampling_rate > 0
        }

    def _run(self) -> None:
        while True:
            with self._changed:
                if not (self._queue or self._is_reconfigured or self._is_closed):
                    self._changed.wait(self._seconds_to_work())
            self._closing.wait(_GATHER_SECONDS)
            with self._changed:
                records = list(self._queue)
                self._being_written.extend(records)
                self._queue.clear()
                self._is_reconfigured = False
                is_last = self._is_closed
            # At the start, not with the first record, so that leftover files are recovered early.
            for target in self._targets.values():
                self._writing(target.prefix)
            for chunk in self._chunks(records):
                self._write(chunk)
            for writing in self._writers.values():
                self._attempt(writing, writing.writer.close if is_last else writing.writer.rotate)
            if time.monotonic() >= self._deletes_at:
                self._delete_old()
            if is_last:
                return

    def _seconds_to_work(self) -> float:
        pauses = [writing.writer.seconds_to_rotation() for writing in self._writers.values()]
        to_deletion = max(0.0, self._deletes_at - time.monotonic())
        return min([to_deletion, *(pause for pause in pauses if pause is not None)])

    def _delete_old(self) -> None:
        options = self._options
        self._deletes_at = time.monotonic() + _DELETE_EVERY_SECONDS
        try:
            deleted = delete_old_logs(
                options.directory,
                keep_seconds=options.keep_seconds,
                keep_bytes=options.keep_bytes,
                now=time.time(),
            )
        except OSError as error:
            self._warn(f"old files cannot be deleted: {error}")
        else:
            if deleted:
                logger.info("Request log: deleted %d old files, up to %s", len(deleted), deleted[0])

    def _writing(self, prefix: str) -> _Writing:
        writing = self._writers.get(prefix)
        if writing is None:
            writer = RequestLogWriter(
                prefix, self._options.max_file_bytes, self._options.max_file_seconds
            )
            writing = self._writers[prefix] = _Writing(writer)
            self._attempt(writing, writer.recover)
        return writing

    def _chunks(self, records: list[_Record]) -> Iterator[list[_Record]]:
        """Groups adjacent records of one prefix into chunks for one system call each."""
        most = min(_CHUNK_BYTES, self._options.max_file_bytes)
        chunk: list[_Record] = []
        size = 0
        for record in records:
            if chunk and (record.prefix != chunk[0].prefix or size + len(record.framed) > most):
                yield chunk
                chunk, size = [], 0
            chunk.append(record)
            size += len(record.framed)
        if chunk:
            yield chunk

    def _write(self, chunk: list[_Record]) -> None:
        prefix = chunk[0].prefix
        writing = self._writing(prefix)
        status = writing.failing_status
        if status is None or time.monotonic() >= writing.retry_at:
            models = Counter(record.model for record in chunk)
            framed_records = b"".join(record.framed for record in chunk)
            write = functools.partial(writing.writer.write, models, framed_records)
            status = writing.failing_status = self._attempt(writing, write)
            writing.retry_at = time.monotonic() + _RETRY_AFTER_SECONDS
        with self._changed:
            if not self._being_written:
                return  # `close` has dropped and counted them
            for record in chunk:
                self._being_written.popleft()
                self._queued_bytes -= len(record.framed)
        for record in chunk:
            if status is None:
                self._metrics.request_logged(record.model, "OK")
            else:
                self._failed(record.model, status, f"{prefix}: {status}")
        if status is None:
            self._attempt(writing, writing.writer.rotate)

    def _attempt(self, writing: _Writing, action: Callable[[], None]) -> str | None:
        """Performs an action on a writer and counts records that were lost after being written.

        Returns:
            The status of the failure; None if the action succeeded.
        """
        status = None
        try:
            action()
        except OSError as error:
            status = _STATUSES.get(error.errno or 0, "INTERNAL")
            self._warn(f"{writing.writer.prefix}: {error}")
        for model, count in writing.writer.take_lost().items():
            for _ in range(count):
                self._failed(model, "DATA_LOSS", f"{writing.writer.prefix}: a file was removed")
        return status

    def _failed(self, model: str, status: str, reason: str) -> None:
        self._metrics.request_logged(model, status)
        self._failed_since_warning += 1
        self._warn(reason)

    def _warn(self, reason: str) -> None:
        now = time.monotonic()
        if now - self._warned_at < _WARN_EVERY_SECONDS:
            return
        self._warned_at = now
        logger.warning(
            "Request log: %s; %d records lost since the last warning; requests are not affected",
            reason,
            self._failed_since_warning,
        )
        self._failed_since_warning = 0


@dataclass(frozen=True)
class _Record:
    model: str
    prefix: str
    framed: bytes


@dataclass
class _Writing:
    writer: RequestLogWriter
    failing_status: str | None = None
    retry_at: float = 0.0


_STATUSES = {
    errno.ENOSPC: "RESOURCE_EXHAUSTED",
    errno.EDQUOT: "RESOURCE_EXHAUSTED",
    errno.EMFILE: "RESOURCE_EXHAUSTED",
    errno.EFBIG: "RESOURCE_EXHAUSTED",
    errno.ENOENT: "NOT_FOUND",
    errno.ENOTDIR: "NOT_FOUND",
    errno.EACCES: "PERMISSION_DENIED",
    errno.EPERM: "PERMISSION_DENIED",
    errno.EROFS: "PERMISSION_DENIED",
}
