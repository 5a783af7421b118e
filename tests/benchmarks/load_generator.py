"""Clients of a model server that cost little: bytes made once, sent again and again.

Run as a script by serving_load.py, in a process of its own; prints its findings as JSON.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc

_CLIENTS_OF_A_CHANNEL = 8
_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_REQUEST_SECONDS = 30.0

Send = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Load:
    """What to send.

    Attributes:
        grpc_port: of the server.
        rest_port: of the server.
        grpc_clients: how many send by gRPC at once.
        rest_clients: how many send by REST at once.
        seconds: how long.
        warm_up_seconds: at the beginning, not counted.
        interval: seconds between the beginnings of a client's requests; 0 for no pause.
        grpc_request: a serialized PredictRequest, in base64.
        rest_path: of the model.
        rest_body: a request.
    """

    grpc_port: int
    rest_port: int
    grpc_clients: int
    rest_clients: int
    seconds: float
    warm_up_seconds: float
    interval: float
    grpc_request: str
    rest_path: str
    rest_body: str


class Failed(Exception):
    """A request was not answered with 200."""


async def generate(load: Load) -> dict[str, object]:
    """Sends requests; returns when each began (Unix time), what it took, and whose failed."""
    begins = time.monotonic() + load.warm_up_seconds
    samples: list[tuple[float, float]] = []
    failures: list[str] = []
    channels = [
        grpc.aio.insecure_channel(
            f"127.0.0.1:{load.grpc_port}", options=[("grpc.use_local_subchannel_pool", 1)]
        )
        for _ in range(-(-load.grpc_clients // _CLIENTS_OF_A_CHANNEL))
    ]
    sends: list[Send] = [
        _grpc_send(channels[index // _CLIENTS_OF_A_CHANNEL], base64.b64decode(load.grpc_request))
        for index in range(load.grpc_clients)
    ]
    sends += [await _rest_send(load) for _ in range(load.rest_clients)]

    async def client(send: Send) -> None:
        next_at = time.monotonic()
        while (started := time.monotonic()) < begins + load.seconds:
            try:
                await asyncio.wait_for(send(), _REQUEST_SECONDS)
            except (Failed, grpc.RpcError, OSError, EOFError, TimeoutError) as error:
                failures.append(str(error)[:300])
                await asyncio.sleep(0.05)
            else:
                if started >= begins:
                    samples.append((time.time(), time.monotonic() - started))
            if load.interval:
                next_at = max(next_at + load.interval, started)
                await asyncio.sleep(max(0.0, next_at - time.monotonic()))

    clients = [asyncio.create_task(client(send)) for send in sends]
    await asyncio.sleep(load.warm_up_seconds)
    cpu, clock = time.process_time(), time.monotonic()
    await asyncio.gather(*clients)
    elapsed = time.monotonic() - clock
    for channel in channels:
        await channel.close()
    return {
        "seconds": elapsed,
        "cpu": (time.process_time() - cpu) / elapsed,
        "samples": samples,
        "failures": failures,
    }


def _grpc_send(channel: grpc.aio.Channel, request: bytes) -> Send:
    call = channel.unary_unary(_PREDICT)

    async def send() -> None:
        await call(request)

    return send


async def _rest_send(load: Load) -> Send:
    body = load.rest_body.encode()
    head = (
        f"POST {load.rest_path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    request = head.encode() + body
    reader, writer = await asyncio.open_connection("127.0.0.1", load.rest_port)

    async def send() -> None:
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        content = await reader.readexactly(int(length))
        if not answer.startswith(b"HTTP/1.1 200"):
            raise Failed(content.decode())

    return send


if __name__ == "__main__":
    print(json.dumps(asyncio.run(generate(Load(**json.load(sys.stdin))))))
