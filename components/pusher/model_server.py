"""Makes a model server serve a version that was just pushed."""

from __future__ import annotations

import os
import shutil

from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from prodml.components.pusher.component import PushDestination
from prodml.errors import ServingError, StorageError
from prodml.serving.clients.endpoint import Endpoint, TlsFiles
from prodml.serving.clients.grpc_client import GrpcClient
from prodml.serving.configuration.model_config import (
    default_config_path,
    entry,
    locked,
    read_model_config,
    with_versions,
)
from prodml.serving.rollouts.served_change import ServedChange, apply_change


def client(destination: PushDestination.ModelServer) -> GrpcClient:
    """A client of the destination's server.

    Raises:
        ConfigError: the address or a TLS file is invalid.
    """
    files = (destination.ca_file, destination.certificate_file, destination.key_file)
    tls = TlsFiles(*files) if any(files) else None
    return GrpcClient(Endpoint(destination.address, tls), destination.timeout_seconds)


def serve_version(
    server: GrpcClient, destination: PushDestination.ModelServer, version: int
) -> None:
    """Makes the server serve the version, and returns when it does.

    Args:
        server: client of the server.
        destination: destination of the push.
        version: the version, which exists at the destination.

    Raises:
        ServingError: the server does not serve the version; the message has its error. The version
            has been removed, and the server's previous configuration restored.
    """
    base = os.path.abspath(destination.base_directory)
    model = destination.model_name or os.path.basename(base)
    config_path = default_config_path(base)
    try:
        with locked(config_path):
            old = read_model_config(config_path)
            found = entry(old, model)
            if found is not None:
                _reload(server, destination, old, model, base, version)
            else:
                server.wait_until_available(model, version, destination.timeout_seconds)
    except (ServingError, StorageError) as error:
        shutil.rmtree(os.path.join(base, str(version)), ignore_errors=True)
        if isinstance(error, StorageError):
            raise
        raise ServingError(
            error.code,
            f"{destination.address} does not serve version {version}, which has been removed; "
            f"the versions that it served before are unchanged: {error}",
        ) from error


def _reload(
    server: GrpcClient,
    destination: PushDestination.ModelServer,
    old: ModelServerConfig,
    model: str,
    base: str,
    version: int,
) -> None:
    found = entry(old, model)
    served = set(found.model_version_policy.specific.versions)
    labels = dict(found.version_labels)
    # A config without specific versions follows the newest one, which is this version.
    new = with_versions(old, model, base, {*served, version} if served else (), labels)
    change = ServedChange(model, [version], old=old, through=new, new=new)
    apply_change(server, change, default_config_path(base), destination.timeout_seconds)
