"""Reads the records of a request log, for monitoring."""

from __future__ import annotations

import glob
from collections.abc import Iterator

from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from prodml.serving.observation.request_log_writer import SUFFIX
from prodml.serving.values.tfrecords import DamagedRecordError, read_records


class RequestLogFiles:
    """Iterates the PredictionLogs of a prefix, in the order of the requests.

    Files that a server is still writing are skipped.

    Args:
        prefix: the `filename_prefix` of the model's LoggingConfig.

    Attributes:
        files: the files, in order.
        damaged: the damage that the iteration has found so far, by file: the byte offset from which
            the file is damaged, or the record that is not a PredictionLog.
    """

    def __init__(self, prefix: str) -> None:
        name = f"{prefix}requests" if prefix.endswith("/") else prefix
        # The prefix must be followed by a time, because another prefix may start with this one.
        self.files = tuple(sorted(glob.glob(f"{glob.escape(name)}-[0-9]*T[0-9]*Z-[0-9]*{SUFFIX}")))
        self.damaged: dict[str, str] = {}

    def __iter__(self) -> Iterator[prediction_log_pb2.PredictionLog]:
        for file in self.files:
            try:
                for number, record in enumerate(read_records(file)):
                    try:
                        log = prediction_log_pb2.PredictionLog.FromString(record)
                    except DecodeError:
                        self.damaged[file] = f"record {number} is not a PredictionLog"
                        continue
                    yield log
            except DamagedRecordError as error:
                self.damaged[file] = str(error)
