"""The addresses that the gRPC server listens on, and the TLS credentials of its connections."""

from __future__ import annotations

import os

import grpc

from prodml.errors import ConfigError
from prodml.serving.configuration.server_options import ServerOptions
from prodml.serving.configuration.text_protos import SslConfig, read_text_proto


def listen(server: grpc.aio.Server, options: ServerOptions) -> None:
    """Adds the port and the UNIX socket that the options name.

    Raises:
        ConfigError: an address cannot be used, or the TLS configuration is invalid.
    """
    credentials = _credentials(options.ssl_config_file) if options.ssl_config_file else None
    for address in grpc_addresses(options):
        _listen_on(server, address, credentials)


def grpc_addresses(options: ServerOptions) -> list[str]:
    """Returns the addresses that gRPC listens on: the port and the UNIX socket, if configured."""
    addresses = [f"{url_host(options.host)}:{options.port}"] if options.port else []
    if options.grpc_socket_path:
        addresses.append(f"unix:{os.path.abspath(options.grpc_socket_path)}")
    return addresses


def url_host(host: str) -> str:
    """Returns a host as it is written before a port, with brackets around an IPv6 address."""
    return f"[{host}]" if ":" in host else host


def _listen_on(
    server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None
) -> None:
    try:
        if credentials is None:
            server.add_insecure_port(address)
        else:
            # The socket requires the same certificates as the port, as in TF Serving.
            server.add_secure_port(address, credentials)
    except RuntimeError as error:
        is_socket = address.startswith("unix:")
        kind, option = ("socket", "--grpc_socket_path") if is_socket else ("port", "--port")
        hint = "; a key or certificate in --ssl_config_file may also be invalid"
        raise ConfigError(
            f"cannot listen for gRPC on {address}: the {kind} is in use or not allowed; choose "
            f"another {option}{hint if credentials is not None else ''}"
        ) from error


def _credentials(path: str) -> grpc.ServerCredentials:
    """Reads server credentials from a text file with an SSLConfig: PEM texts, not paths."""
    config = read_text_proto(path, SslConfig)
    if not config.server_key or not config.server_cert:
        raise ConfigError(f"{path}: server_key and server_cert must be set to PEM texts")
    if config.client_verify and not config.custom_ca:
        raise ConfigError(
            f"{path}: client_verify needs custom_ca, the authorities of the clients' certificates, "
            f"as a PEM text"
        )
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )
