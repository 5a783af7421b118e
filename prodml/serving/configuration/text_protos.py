"""Reads the text protos that TF Serving's options refer to.

tensorflow-serving-api contains the messages of the API, but not those of the server's own files.
Those are defined here, with the field names and numbers of TF Serving
(`servables/tensorflow/session_bundle_config.proto`, `config/ssl_config.proto`,
`config/monitoring_config.proto`).
"""

from __future__ import annotations

from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from prodml.documents import parse_text_proto
from prodml.errors import ConfigError
from prodml.message_classes import message_classes

_CLASSES = message_classes(
    "prodml.serving",
    {
        "BatchingParameters": "1 max_batch_size Int64Value; 2 batch_timeout_micros Int64Value; "
        "3 max_enqueued_batches Int64Value; 4 num_batch_threads Int64Value; "
        "5 thread_pool_name StringValue; 6 *allowed_batch_sizes int64; "
        "7 pad_variable_length_inputs bool; 8 enable_large_batch_splitting BoolValue; "
        "9 max_execution_batch_size Int64Value",
        "MonitoringConfig": "1 prometheus_config PrometheusConfig",
        "PrometheusConfig": "1 enable bool; 2 path string",
        "SSLConfig": "1 server_key string; 2 server_cert string; 3 custom_ca string; "
        "4 client_verify bool",
    },
)
BatchingParameters = _CLASSES["BatchingParameters"]
MonitoringConfig = _CLASSES["MonitoringConfig"]
SslConfig = _CLASSES["SSLConfig"]
ModelServerConfig = model_server_config_pb2.ModelServerConfig


def read_text_proto(path: str, kind: Any) -> Any:
    """Reads the message in a text file.

    Args:
        path: the file.
        kind: the class of the message.

    Raises:
        ConfigError: the file cannot be read or is not such a message; names file, line and field.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return parse_text_proto(file.read(), kind())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except text_format.ParseError as error:
        # TF Serving's words, because programs that start servers search stderr for them.
        raise ConfigError(
            f"Invalid protobuf file: '{path}': Error parsing text-format "
            f"tensorflow.serving.{kind.DESCRIPTOR.name}: {error}"
        ) from error
