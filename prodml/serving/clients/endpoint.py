"""The address of a model server, TLS files for connections to it, and default time limits."""

from __future__ import annotations

from dataclasses import dataclass

from prodml.errors import ConfigError

ANSWER_SECONDS = 30.0
"""Default time limit for an answer."""
LOADING_SECONDS = 120.0
"""Default time limit for the server to load a version."""

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "unix")


@dataclass(frozen=True)
class TlsFiles:
    """PEM files for a TLS connection.

    Attributes:
        ca: certificates of the authorities to trust; None for those of the system.
        certificate: the client's certificate, if the server requires one.
        key: the private key of `certificate`.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Reads `ca`, `key` and `certificate`, in the order of gRPC's arguments.

        Raises:
            ConfigError: one of certificate and key is missing, or a file cannot be read.
        """
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("set both the client certificate and its key, or neither")
        return _content(self.ca), _content(self.key), _content(self.certificate)


@dataclass(frozen=True)
class Endpoint:
    """A model server's address.

    Attributes:
        address: `host:port`; for gRPC also `unix:/path`.
        tls: TLS files; None for a connection without TLS.
    """

    address: str
    tls: TlsFiles | None = None

    def check(self) -> None:
        """Checks the format of the address.

        Raises:
            ConfigError: the address is not `host:port`.
        """
        if self.address.startswith("unix:"):
            return
        host, _, port = self.address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ConfigError(
                f"{self.address!r} is not the address of a server; write host:port, such as "
                f"localhost:8500"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine, so that no proxy is used."""
        return self.address.rpartition(":")[0] in _LOOPBACK or self.address.startswith("unix:")


def _content(path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
