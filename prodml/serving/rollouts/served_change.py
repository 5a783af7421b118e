"""Changes what a running server serves, or leaves everything as it was."""

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
        model: its name.
        versions: that must answer before the change is complete.
        old: what the server is asked to serve again if it does not take the change.
        through: what it serves meanwhile: the versions of before and of after.
        new: what it serves in the end.
    """

    model: str
    versions: Iterable[int]
    old: ModelServerConfig
    through: ModelServerConfig
    new: ModelServerConfig


def make_change(
    server: GrpcClient, change: ServedChange, config_path: Path, timeout_seconds: float
) -> None:
    """Asks the server for the change, waits until it answers, and writes the config file.

    Args:
        server: the server.
        change: what to change.
        config_path: the model config file, written last.
        timeout_seconds: how long each version may take to answer.

    Raises:
        ServingError: the server's reason for not taking it.
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
        # Whatever stopped it, the server must serve what it served before.
        with contextlib.suppress(ServingError):
            server.reload_config(change.old)
        raise
