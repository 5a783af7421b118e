"""The records of a request log, as monitoring reads them."""

from __future__ import annotations

import glob
from collections.abc import Iterator

from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from prodml.serving.observation.request_log_writer import SUFFIX
from prodml.serving.values.tfrecords import DamagedRecordError, read_records


class RequestLogFiles:
    """Iterates the PredictionLogs of a prefix, in the order of the requests.

    Files that a server is still writing are not among them.

    Args:
        prefix: the `filename_prefix` of the model's LoggingConfig.

    Attributes:
        files: the files, in order.
        damaged: what the iteration had to leave out so far, by file: where it starts, in bytes,
            or that it is no PredictionLog.
    """

    def __init__(self, prefix: str) -> None:
        name = f"{prefix}requests" if prefix.endswith("/") else prefix
        # What follows the prefix is a time: another prefix may begin with this one.
        self.files = tuple(sorted(glob.glob(f"{glob.escape(name)}-[0-9]*T[0-9]*Z-[0-9]*{SUFFIX}")))
        self.damaged: dict[str, str] = {}

    def __iter__(self) -> Iterator[prediction_log_pb2.PredictionLog]:
        for file in self.files:
            try:
                for number, record in enumerate(read_records(file)):
                    try:
                        log = prediction_log_pb2.PredictionLog.FromString(record)
                    except DecodeError:
                        self.damaged[file] = f"record {number} is no PredictionLog"
                        continue
                    yield log
            except DamagedRecordError as error:
                self.damaged[file] = str(error)
