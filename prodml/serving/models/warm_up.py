"""Reads and writes a version's warm-up requests: `assets.extra/tf_serving_warmup_requests`.

The file is a TFRecord of PredictionLogs beside the SavedModel; limits and errors are TF Serving's
(`servables/tensorflow/saved_model_warmup_util.cc`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from prodml.errors import ServingError
from prodml.serving.values.tfrecords import DamagedRecordError, framed, read_records

WARM_UP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
"""Path of the warm-up requests in a version's directory."""

MAX_RECORDS = 1_000
"""Maximum number of warm-up requests."""


def read_warm_up_requests(version_dir: str) -> list[prediction_log_pb2.PredictionLog]:
    """Returns the warm-up requests of a version; none if it has no such file.

    Args:
        version_dir: the version's directory.

    Raises:
        ServingError: DATA_LOSS if the file is not a complete TFRecord; INVALID_ARGUMENT if a record
            is not a PredictionLog or there are more than 1000; UNIMPLEMENTED if a warm-up cannot
            run a request of that kind.
    """
    path = os.path.join(version_dir, WARM_UP_FILE)
    if not os.path.exists(path):
        return []
    logs: list[prediction_log_pb2.PredictionLog] = []
    try:
        for record in read_records(path):
            logs.append(_parsed(record, path))
            if len(logs) > MAX_RECORDS:
                raise ServingError(
                    "INVALID_ARGUMENT",
                    f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}",
                )
    except DamagedRecordError as error:
        raise ServingError(
            "DATA_LOSS", f"{error}. Please verify your warmup data is in TFRecord format."
        ) from error
    except OSError as error:
        raise ServingError("INTERNAL", f"{path}: {error.strerror}") from error
    return logs


def write_warm_up_requests(
    version_dir: str, logs: Sequence[prediction_log_pb2.PredictionLog]
) -> None:
    """Writes the warm-up requests of a version, replacing existing ones.

    Args:
        version_dir: the version's directory.
        logs: at most 1000 requests; their responses are not needed.

    Raises:
        ValueError: there are more than 1000.
    """
    if len(logs) > MAX_RECORDS:
        raise ValueError(f"{len(logs)} warm-up requests; a server accepts at most {MAX_RECORDS}")
    path = os.path.join(version_dir, WARM_UP_FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    partial = f"{path}.partial-{os.getpid()}"
    with open(partial, "wb") as file:
        for log in logs:
            file.write(framed(log.SerializeToString()))
    os.replace(partial, path)


def _parsed(record: bytes, path: str) -> prediction_log_pb2.PredictionLog:
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Failed to parse warmup record: {record[:100]!r} from {path}",
        ) from error
    kind = log.WhichOneof("log_type")
    if kind in ("session_run_log", "predict_streamed_log"):
        number = log.DESCRIPTOR.fields_by_name[kind].number
        raise ServingError("UNIMPLEMENTED", f"Unsupported log_type for warmup: {number}")
    return log
