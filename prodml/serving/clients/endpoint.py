"""Where a model server is reached, and how its connection is secured."""

from __future__ import annotations

from dataclasses import dataclass

from prodml.errors import ConfigError

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "unix")


@dataclass(frozen=True)
class TlsFiles:
    """PEM files of a connection secured by TLS.

    Attributes:
        ca: certificates of the authorities to trust; those of the system where there is none.
        certificate: the client's own, where the server asks for one.
        key: the private key of `certificate`.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """What stands in `ca`, `key` and `certificate`, in the order that gRPC takes.

        Raises:
            ConfigError: one of certificate and key is missing, or a file cannot be read.
        """
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("a client certificate and its key must be given together")
        return _content(self.ca), _content(self.key), _content(self.certificate)


@dataclass(frozen=True)
class Endpoint:
    """A model server's address.

    Attributes:
        address: `host:port`; for gRPC also `unix:/path`.
        tls: how the connection is secured; None where it is not.
    """

    address: str
    tls: TlsFiles | None = None

    def check(self) -> None:
        """Finds an address that no server can have.

        Raises:
            ConfigError: it is not `host:port`.
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
        """Whether it is on this machine, where no proxy stands between."""
        return self.address.rpartition(":")[0] in _LOOPBACK or self.address.startswith("unix:")


def _content(path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
