"""Text protos that TF Serving's options name.

tensorflow-serving-api ships the messages of the API, not those of the server's own files, so these
are described here, with the field names and numbers of TF Serving
(`servables/tensorflow/session_bundle_config.proto`, `config/ssl_config.proto`).
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tensorflow_serving.config import model_server_config_pb2

from prodml.documents import parse_text_proto
from prodml.errors import ConfigError

# The messages' wrapper types must be in the pool before they are named.
from google.protobuf import wrappers_pb2  # noqa: F401  isort: skip

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "prodml.serving"
_SCALARS = {
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "bool": _Field.TYPE_BOOL,
}

_BATCHING = {
    "max_batch_size": (1, "Int64Value"),
    "batch_timeout_micros": (2, "Int64Value"),
    "max_enqueued_batches": (3, "Int64Value"),
    "num_batch_threads": (4, "Int64Value"),
    "thread_pool_name": (5, "StringValue"),
    "allowed_batch_sizes": (6, "repeated int64"),
    "pad_variable_length_inputs": (7, "bool"),
    "enable_large_batch_splitting": (8, "BoolValue"),
    "max_execution_batch_size": (9, "Int64Value"),
}
_SSL = {
    "server_key": (1, "string"),
    "server_cert": (2, "string"),
    "custom_ca": (3, "string"),
    "client_verify": (4, "bool"),
}


def _message_class(name: str, fields: dict[str, tuple[int, str]]) -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"prodml/serving/{name}.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    message = file.message_type.add(name=name)
    for field_name, (number, kind) in fields.items():
        field = message.field.add(name=field_name, number=number, label=_Field.LABEL_OPTIONAL)
        scalar = kind.removeprefix("repeated ")
        if scalar != kind:
            field.label = _Field.LABEL_REPEATED
        if scalar in _SCALARS:
            field.type = _SCALARS[scalar]
        else:
            field.type = _Field.TYPE_MESSAGE
            field.type_name = f".google.protobuf.{scalar}"
    pool = descriptor_pool.Default()  # type: ignore[no-untyped-call]
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


BatchingParameters = _message_class("BatchingParameters", _BATCHING)
SslConfig = _message_class("SSLConfig", _SSL)
ModelServerConfig = model_server_config_pb2.ModelServerConfig


def read_text_proto(path: str, kind: Any) -> Any:
    """The message in a text file.

    Args:
        path: the file.
        kind: the message's class.

    Raises:
        ConfigError: the file cannot be read or is not such a message; names file, line and field.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return parse_text_proto(file.read(), kind())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except text_format.ParseError as error:
        # TF Serving's words: what starts servers looks for them on stderr.
        raise ConfigError(
            f"Invalid protobuf file: '{path}': Error parsing text-format "
            f"tensorflow.serving.{kind.DESCRIPTOR.name}: {error}"
        ) from error
