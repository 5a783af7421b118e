"""TF Serving's `--monitoring_config_file`: whether and where the metrics are served."""

from __future__ import annotations

from prodml.errors import ConfigError
from prodml.serving.configuration.text_protos import MonitoringConfig, read_text_proto
from prodml.serving.observation.metrics import METRICS_PATH


def read_metrics_path(path: str) -> str | None:
    """Reads the path of the metrics; returns None if the file does not enable them.

    Args:
        path: a file with a MonitoringConfig in protobuf's text format.

    Raises:
        ConfigError: the file cannot be read, is not a MonitoringConfig, or has a relative path.
    """
    prometheus = read_text_proto(path, MonitoringConfig).prometheus_config
    if not prometheus.enable:
        return None
    metrics_path = str(prometheus.path) or METRICS_PATH
    if not metrics_path.startswith("/"):
        raise ConfigError(f"{path}: prometheus_config.path {metrics_path!r} must begin with a /")
    return metrics_path
