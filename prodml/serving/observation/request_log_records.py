"""The request log settings of a model, and the metadata of a record."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from tensorflow_serving.apis import logging_pb2, prediction_log_pb2
from tensorflow_serving.config import logging_config_pb2

from prodml.errors import ServingError
from prodml.paths import inside


@dataclass(frozen=True)
class LogTarget:
    """Where a model's requests are logged, and how they are sampled.

    Attributes:
        prefix: directory and start of the file names.
        rate: fraction of the requests to log, from 0 to 1.
        sampling: the sampling config, as configured.
    """

    prefix: str
    rate: float
    sampling: logging_config_pb2.SamplingConfig

    @classmethod
    def of(cls, model: str, config: logging_config_pb2.LoggingConfig, directory: str) -> LogTarget:
        """Creates the target from a model's logging config.

        Args:
            model: name of the model.
            config: its logging config; a relative prefix is relative to `directory`.
            directory: directory that must contain the request logs; empty to write none.

        Raises:
            ServingError: the log type is unknown, or the prefix is missing or outside of
                `directory`.
        """
        collector = config.log_collector_config
        if collector.type not in ("", "tfrecord"):
            raise ServingError(
                "NOT_FOUND", f"Cannot find LogCollector::Factory for type: {collector.type}"
            )
        if not collector.filename_prefix:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"The logging_config of model {model} has no filename_prefix to write to",
            )
        if not directory:
            raise ServingError(
                "FAILED_PRECONDITION",
                f"model {model} has a logging_config, but the server writes no request logs; start "
                f"it with --request_log_dir",
            )
        prefix = os.path.join(os.path.abspath(directory), collector.filename_prefix)
        if not inside(directory, os.path.dirname(prefix)):
            raise ServingError(
                "PERMISSION_DENIED",
                f"The filename_prefix of model {model}, {collector.filename_prefix}, is outside of "
                f"{directory}, the --request_log_dir; name one inside",
            )
        sampling = config.sampling_config
        return cls(prefix, sampling.sampling_rate, sampling)


def completed_record(
    record: prediction_log_pb2.PredictionLog, model: str, target: LogTarget
) -> prediction_log_pb2.PredictionLog:
    """Adds metadata to a record: the version that answered, the time and the sampling config."""
    metadata: logging_pb2.LogMetadata = record.log_metadata
    if not metadata.HasField("model_spec"):
        metadata.model_spec.name = model
        spec = _answered_spec(record)
        if spec is not None:
            metadata.model_spec.MergeFrom(spec)
    metadata.sampling_config.CopyFrom(target.sampling)
    metadata.timestamp_secs = int(time.time())
    return record


def _answered_spec(record: prediction_log_pb2.PredictionLog) -> object | None:
    """Returns the ModelSpec of the answer, which has the version even if the request named none."""
    kind = record.WhichOneof("log_type")
    if kind == "multi_inference_log":
        results = record.multi_inference_log.response.results
        return results[0].model_spec if results else None
    if kind in ("predict_log", "classify_log", "regress_log", "session_run_log"):
        spec: object = getattr(record, kind).response.model_spec
        return spec
    return None
