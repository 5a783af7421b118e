"""TF Serving's `--monitoring_config_file`: whether and where the metrics are served.

The message is described here because tensorflow-serving-api does not ship it; names and numbers
are those of `config/monitoring_config.proto`.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from prodml.errors import ConfigError
from prodml.serving.configuration.text_protos import read_text_proto
from prodml.serving.observation.metrics import METRICS_PATH


def read_metrics_path(path: str) -> str | None:
    """Where the file says that the metrics are served; None where it does not enable them.

    Args:
        path: a MonitoringConfig in protobuf's text format.

    Raises:
        ConfigError: the file cannot be read, is no MonitoringConfig, or names a relative path.
    """
    # Dynamic messages have no types: what stands here is the text proto's own structure.
    prometheus = getattr(read_text_proto(path, MonitoringConfig), "prometheus_config")  # noqa: B009
    if not prometheus.enable:
        return None
    metrics_path = str(prometheus.path) or METRICS_PATH
    if not metrics_path.startswith("/"):
        raise ConfigError(f"{path}: prometheus_config.path {metrics_path!r} must begin with a /")
    return metrics_path


def _monitoring_config_class() -> type[Message]:
    field = descriptor_pb2.FieldDescriptorProto
    package = "prodml.serving.monitoring"
    file = descriptor_pb2.FileDescriptorProto(
        name="prodml/serving/monitoring_config.proto", package=package, syntax="proto3"
    )
    prometheus = file.message_type.add(name="PrometheusConfig")
    prometheus.field.add(name="enable", number=1, type=field.TYPE_BOOL, label=field.LABEL_OPTIONAL)
    prometheus.field.add(name="path", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    file.message_type.add(name="MonitoringConfig").field.add(
        name="prometheus_config",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=f".{package}.PrometheusConfig",
        label=field.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.Default()  # type: ignore[no-untyped-call]
    pool.Add(file)
    made: type[Message] = message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{package}.MonitoringConfig")
    )
    return made


MonitoringConfig = _monitoring_config_class()
