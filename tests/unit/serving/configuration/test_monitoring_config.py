import pytest

from prodml.errors import ConfigError
from prodml.serving.configuration.monitoring_config import read_metrics_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", None),
        ('prometheus_config { path: "/metrics" }', None),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config: { enable: true, path: "/metrics" }', "/metrics"),
    ],
)
def test_the_metrics_are_where_the_file_says(tmp_path, text, path):
    file = tmp_path / "monitoring.config"
    file.write_text(text)
    assert read_metrics_path(str(file)) == path


def test_an_unknown_field_is_named_with_its_line(tmp_path):
    file = tmp_path / "monitoring.config"
    file.write_text("\nprometheus_config { enabled: true }")
    with pytest.raises(ConfigError, match=r'monitoring.config.*: 2:\d+ : .*"enabled"'):
        read_metrics_path(str(file))


def test_a_deeply_nested_file_is_rejected_with_its_line(tmp_path):
    file = tmp_path / "monitoring.config"
    file.write_text("\n" + "prometheus_config { " * 1000)
    told = r"monitoring.config.*: 2:\d+ : .*nests deeper than 100 levels"
    with pytest.raises(ConfigError, match=told):
        read_metrics_path(str(file))


def test_a_missing_file_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_metrics_path(str(tmp_path / "absent"))


def test_a_relative_path_is_refused(tmp_path):
    file = tmp_path / "monitoring.config"
    file.write_text('prometheus_config { enable: true path: "metrics" }')
    with pytest.raises(ConfigError, match="must begin with a /"):
        read_metrics_path(str(file))
