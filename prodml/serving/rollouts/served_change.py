"""Changes the config of a running server, or restores it if the change fails."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from prodml.errors import ServingError
from prodml.serving.clients.grpc_client import GrpcClient
from prodml.serving.configuration.model_config import write_model_config


@dataclass(frozen=True)
class ServedChange:
    """A change of one model in a server's config.

    Attributes:
        model: name of the model.
        versions: versions that must be available before the change is completed.
        old: the config to restore if the change fails.
        through: the intermediate config, with the versions of before and of after.
        new: the final config.
    """

    model: str
    versions: Iterable[int]
    old: ModelServerConfig
    through: ModelServerConfig
    new: ModelServerConfig


def apply_change(
    server: GrpcClient, change: ServedChange, config_path: Path, timeout_seconds: float
) -> None:
    """Changes the server's config, waits until the versions are available, and writes the file.

    Args:
        server: client of the server.
        change: the change.
        config_path: the model config file, written last.
        timeout_seconds: time limit for each version to become available.

    Raises:
        ServingError: the server rejected the change, or a version did not become available.
        StorageError: the config file cannot be written.
    """
    try:
        server.reload_config(change.through)
        for version in sorted(change.versions):
            server.wait_until_available(change.model, version, timeout_seconds)
        if change.new is not change.through:
            server.reload_config(change.new)
        write_model_config(config_path, change.new)
    except BaseException:
        # After any failure, the server must serve the previous config.
        with contextlib.suppress(ServingError):
            server.reload_config(change.old)
        raise
