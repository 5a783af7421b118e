"""Ports on loopback: fixed ones that configs name, or free ones."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Mapping


class PortInUseError(Exception):
    """A fixed port of a cluster is in use by another process."""


def check_ports(ports: Mapping[str, int], host: str = "127.0.0.1") -> None:
    """Checks that nothing listens on the ports.

    Raises:
        PortInUseError: a port is in use; the message names each.
    """
    taken = [f"{port} ({name})" for name, port in ports.items() if not _is_free(host, port)]
    if taken:
        raise PortInUseError(
            f"port {', '.join(taken)} on {host} is in use by another process; end that process, or"
            " start the cluster with --free-ports"
        )


def free_ports(names: Iterable[str]) -> dict[str, int]:
    """Returns a free port on loopback for each name; all are different."""
    sockets = {name: socket.socket() for name in names}
    try:
        for each in sockets.values():
            each.bind(("127.0.0.1", 0))
        return {name: each.getsockname()[1] for name, each in sockets.items()}
    finally:
        for each in sockets.values():
            each.close()


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        # Connections of an ended cluster in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True
