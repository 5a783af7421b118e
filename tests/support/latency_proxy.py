"""A loopback proxy that makes a server seem far away, and counts the round trips to it.

In a process of its own: ML Metadata's C++ code keeps Python's lock while it waits for a database.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator

READ_BYTES = 1 << 16


class LatencyProxy:
    """A proxy that runs.

    Attributes:
        port: where it listens.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = self._asked()

    def round_trips(self) -> int:
        """How often a client spoke after the server had, or for the first time: how often it had
        to wait for an answer before it could go on."""
        return self._asked()

    def _asked(self) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextlib.contextmanager
def latency_proxy(target_port: int, round_trip_seconds: float) -> Iterator[LatencyProxy]:
    """A proxy to a local port; each direction is late by half of a round trip."""
    command = [sys.executable, __file__, str(target_port), str(round_trip_seconds)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        yield LatencyProxy(process)
        assert process.stdin is not None
        process.stdin.close()


class _Proxy:
    def __init__(self, target_port: int, round_trip_seconds: float) -> None:
        self.round_trips = 0
        self._target_port = target_port
        self._delay = round_trip_seconds / 2

    async def serve(self) -> None:
        """Answers the first line of standard input with the port, later ones with the count."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            print(port or self.round_trips, flush=True)
            port = None

    async def _connected(
        self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", self._target_port)
        speaks = ["server"]

        def client_speaks(data: bytes) -> None:
            # Over HTTP/2 the client also tells how much it has read; a call has HEADERS.
            if speaks[0] == "server" and not _is_bookkeeping(data):
                self.round_trips += 1
                speaks[0] = "client"

        def server_speaks(data: bytes) -> None:
            if not _is_bookkeeping(data):
                speaks[0] = "server"

        # Cancelled at the end, where a client has not closed its connection.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(
                self._pass_on(client, to_server, client_speaks),
                self._pass_on(server, to_client, server_speaks),
            )

    async def _pass_on(self, source: asyncio.StreamReader, target, heard) -> None:  # type: ignore[no-untyped-def]
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not data:
                    target.close()
                    return
                target.write(data)

        delivery = asyncio.ensure_future(deliver())
        with contextlib.suppress(ConnectionError):
            while data := await source.read(READ_BYTES):
                heard(data)
                queue.put_nowait((loop.time() + self._delay, data))
        queue.put_nowait((loop.time() + self._delay, b""))
        await delivery


def _is_bookkeeping(data: bytes) -> bool:
    """Whether all of it is whole HTTP/2 frames of SETTINGS, PING or WINDOW_UPDATE."""
    position = 0
    while position + 9 <= len(data):
        if data[position + 3] not in (4, 6, 8):
            return False
        position += 9 + int.from_bytes(data[position : position + 3])
    return position == len(data)


if __name__ == "__main__":
    asyncio.run(_Proxy(int(sys.argv[1]), float(sys.argv[2])).serve())
