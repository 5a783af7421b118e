from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from aiohttp import web

from prodml.serving.calls.admission import Admission
from prodml.serving.calls.execution import DirectRunner
from prodml.serving.calls.inference import Inference
from prodml.serving.configuration.server_options import ServerOptions
from prodml.serving.models.model_catalog import Models
from prodml.serving.observation.metrics import ServerMetrics
from prodml.serving.observation.request_log import RequestLog
from prodml.serving.part_options import loading_options, request_log_options, rest_options
from prodml.serving.rest_api.rest_handlers import RestApi

SERVER = ServerOptions()


async def received(port: int, *parts: bytes) -> bytes:
    """Reads all bytes until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    found = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return found


@pytest.mark.parametrize(
    "parts",
    [(), (b"GET /v1/mod",), (b"GET /v1/models/m HTTP/1.1\r\n", b"Host: a\r\nX-A: ")],
    ids=["nothing", "half a line", "half a head"],
)
def test_a_connection_without_a_complete_head_is_closed_after_a_while(parts):
    async def ask() -> bytes:
        metrics = ServerMetrics()
        inference = Inference(
            Models(lambda *_: None, loading_options(SERVER)),
            DirectRunner(1),
            metrics,
            RequestLog(metrics, request_log_options(SERVER)),
        )
        options = replace(rest_options(SERVER), idle_seconds=0.1)
        api = RestApi(inference, metrics, Admission(10, 1000), options)
        runner = api.runner()
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        found = await received(runner.addresses[0][1], *parts)
        await runner.cleanup()
        api.close()
        return found

    assert asyncio.run(ask()) == b""
