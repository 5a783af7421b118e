"""The addresses that processes listen on, from Linux's /proc."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

_LISTEN = "0A"


def hosts_listened_on(pids: Iterable[int]) -> set[str]:
    """Returns the hosts of all TCP sockets on which the processes listen."""
    inodes = {inode for pid in pids for inode in _sockets(pid)}
    lines = [line for name in ("tcp", "tcp6") for line in _connections(name)]
    return {_host(fields[1]) for fields in lines if fields[3] == _LISTEN and fields[9] in inodes}


def _connections(name: str) -> list[list[str]]:
    return [line.split() for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]


def _sockets(pid: int) -> Iterator[str]:
    directory = f"/proc/{pid}/fd"
    for number in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(f"{directory}/{number}")
            if target.startswith("socket:["):
                yield target.removeprefix("socket:[").removesuffix("]")


def _host(address: str) -> str:
    # Each group of four bytes is in the byte order of the machine, which is little-endian.
    packed = bytes.fromhex(address.partition(":")[0])
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    groups = [packed[n : n + 4][::-1] for n in range(0, len(packed), 4)]
    found = ipaddress.ip_address(socket.inet_ntop(family, b"".join(groups)))
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)
