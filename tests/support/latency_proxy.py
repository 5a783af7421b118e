"""A loopback proxy that adds latency to a server, and counts the round trips.

It is a separate process, because ML Metadata's C++ code holds the GIL while it waits for a
database.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator

READ_BYTES = 1 << 16


class LatencyProxy:
    """A running proxy.

    Attributes:
        port: port on which the proxy listens.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = self._query()

    def round_trips(self) -> int:
        """The number of times that clients had to wait for a response.

        Counted is each message of a client that is its first or follows one of the server.
        """
        return self._query()

    def _query(self) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextlib.contextmanager
def latency_proxy(target_port: int, round_trip_seconds: float) -> Iterator[LatencyProxy]:
    """Runs a proxy to a local port, which delays each direction by half of a round trip."""
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
        """Prints the port for the first line of standard input, and the count for later ones."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        async with server:
            while await loop.run_in_executor(None, sys.stdin.readline):
                print(port or self.round_trips, flush=True)
                port = None

    async def _connected(
        self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", self._target_port)
        last_sender = ["server"]

        def on_client_data(data: bytes) -> None:
            # Over HTTP/2, the client also reports how much it has read; a call has HEADERS.
            if last_sender[0] == "server" and not _is_bookkeeping(data):
                self.round_trips += 1
                last_sender[0] = "client"

        def on_server_data(data: bytes) -> None:
            if not _is_bookkeeping(data):
                last_sender[0] = "server"

        # Cancelled at the end, if a client has not closed its connection.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(
                self._forward(client, to_server, on_client_data),
                self._forward(server, to_client, on_server_data),
            )
        to_server.close()
        to_client.close()

    async def _forward(self, source: asyncio.StreamReader, target, on_data) -> None:  # type: ignore[no-untyped-def]
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
                on_data(data)
                queue.put_nowait((loop.time() + self._delay, data))
        queue.put_nowait((loop.time() + self._delay, b""))
        await delivery


def _is_bookkeeping(data: bytes) -> bool:
    """Whether the data is complete HTTP/2 frames of SETTINGS, PING or WINDOW_UPDATE only."""
    position = 0
    while position + 9 <= len(data):
        if data[position + 3] not in (4, 6, 8):
            return False
        position += 9 + int.from_bytes(data[position : position + 3])
    return position == len(data)


if __name__ == "__main__":
    asyncio.run(_Proxy(int(sys.argv[1]), float(sys.argv[2])).serve())
