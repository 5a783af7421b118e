"""The model roots: directories that must contain the base paths in a client's config."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from tensorflow_serving.config import model_server_config_pb2

from prodml.errors import ServingError
from prodml.paths import inside_any


def model_roots(
    option: str, host: str, config: model_server_config_pb2.ModelServerConfig
) -> Sequence[str]:
    """Returns the model roots of a server.

    Args:
        option: value of `--model_roots`: comma-separated directories, or empty.
        host: the address that the server listens on.
        config: the config that the server serves at the start.
    """
    if option:
        return option.split(",")
    if _is_loopback(host):
        return ["/"]
    return [model.base_path for model in config.model_config_list.config]


def check_base_paths(
    config: model_server_config_pb2.ModelServerConfig, roots: Sequence[str]
) -> None:
    """Checks the base paths in a client's config.

    Raises:
        ServingError: a base path, with links resolved, is outside of the roots.
    """
    for model in config.model_config_list.config:
        if not inside_any(roots, model.base_path):
            raise ServingError(
                "PERMISSION_DENIED",
                f"The base path of model {model.name}, {model.base_path}, is outside of the "
                f"server's model roots; start it with --model_roots to allow others",
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
