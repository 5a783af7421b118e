from pathlib import Path

import pytest
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from prodml.errors import ServingError
from prodml.serving.configuration.model_roots import check_base_paths, model_roots


def _config(*base_paths: str) -> ModelServerConfig:
    config = ModelServerConfig()
    for base_path in base_paths:
        config.model_config_list.config.add(name="flights", base_path=base_path)
    return config


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_a_loopback_address_any_base_path_is_allowed(host):
    check_base_paths(_config("/anywhere"), model_roots("", host, _config("/models/flights")))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "models.example"])
def test_on_other_addresses_only_base_paths_from_the_start_are_allowed(host):
    roots = model_roots("", host, _config("/models/flights"))
    check_base_paths(_config("/models/flights", "/models/flights/sub"), roots)
    for other in ("/models", "/models/flights2", "/models/flights/../other", "/etc"):
        with pytest.raises(ServingError, match="outside of the server's model roots") as caught:
            check_base_paths(_config("/models/flights", other), roots)
        assert caught.value.code == "PERMISSION_DENIED"


def test_the_option_names_the_roots_on_every_address():
    for host in ("127.0.0.1", "0.0.0.0"):
        roots = model_roots("/models,/srv", host, _config("/opt/flights"))
        check_base_paths(_config("/models/a", "/srv/b"), roots)
        with pytest.raises(ServingError):
            check_base_paths(_config("/opt/flights"), roots)
    check_base_paths(_config("/etc"), model_roots("/", "0.0.0.0", _config()))


def test_a_link_to_a_target_outside_of_the_roots_is_rejected(tmp_path: Path):
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(ServingError):
        check_base_paths(_config(str(tmp_path / "link")), [str(tmp_path)])
