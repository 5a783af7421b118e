"""Ports of a cluster are free before anything starts."""

import socket

import pytest
from clusters.ports import PortInUseError, check_ports, free_ports


def test_a_port_in_use_is_named_with_what_it_is_for() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"port {port} \(rest\) .* --free-ports"):
            check_ports({"rest": port})


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(["rest", "rpc", "job"])
    assert len(set(ports.values())) == 3
    check_ports(ports)
