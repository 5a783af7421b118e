"""`prodml metadata`."""

from __future__ import annotations

from typing import Annotated

import typer

from prodml.cli.options import ConfigFile
from prodml.cli.terminal import say

app = typer.Typer(help="Serve ML Metadata, which records runs and artifacts.", no_args_is_help=True)


@app.callback()
def metadata() -> None:
    """Serve ML Metadata, which records runs and artifacts."""


@app.command("serve")
def serve(
    config: ConfigFile = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for a free port.")
    ] = 8080,
    certificate_file: Annotated[
        str | None, typer.Option(help="Certificate for TLS; needs --key-file.")
    ] = None,
    key_file: Annotated[str | None, typer.Option(help="Private key of the certificate.")] = None,
) -> None:
    """Serve the configured store by ML Metadata's own gRPC protocol, until Ctrl-C or SIGTERM.

    Clients far from the database set `metadata: {grpc: {host: ..., port: ...}}`. The service does
    not authenticate clients: everyone who can reach the port can read and write.
    """
    from pathlib import Path

    import grpc

    from prodml.config import load_config
    from prodml.errors import ConfigError
    from prodml.metadata.service import serving, wait_for_signal

    if (certificate_file is None) != (key_file is None):
        raise ConfigError("--certificate-file and --key-file must be given together")
    credentials = None
    if certificate_file is not None and key_file is not None:
        try:
            pair = (Path(key_file).read_bytes(), Path(certificate_file).read_bytes())
        except OSError as error:
            raise ConfigError(f"cannot read {error.filename}: {error.strerror}") from error
        credentials = grpc.ssl_server_credentials([pair])
    loaded = load_config(config)
    # Opened here first, so that an error ends the command instead of reaching the first client.
    loaded.open_store()
    with serving(loaded.open_store, host, port, credentials) as bound:
        say(f"serving {loaded.metadata_connection} on {host}:{bound}", flush=True)
        wait_for_signal()
