from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from prodml.serving.grpc_api.health import HealthService

_SECONDS = 20
_Status = health_pb2.HealthCheckResponse.ServingStatus


def asked(ask: Callable[[Any, HealthService], Awaitable[None]]) -> None:
    """Sends requests to a server through a stub."""

    async def run() -> None:
        server = grpc.aio.server()
        health = HealthService(["", "a"])
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await asyncio.wait_for(ask(health_pb2_grpc.HealthStub(channel), health), _SECONDS)
        await server.stop(None)

    asyncio.run(run())


def of(service: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


def test_a_check_is_answered_and_an_unknown_service_is_not_found():
    async def ask(stub: Any, health: HealthService) -> None:
        assert (await stub.Check(of("a"))).status == _Status.SERVING
        health.report(is_serving=False)
        assert (await stub.Check(of(""))).status == _Status.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(of("unknown"))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND

    asked(ask)


def test_watchers_get_changes_after_another_watcher_has_disconnected():
    async def ask(stub: Any, health: HealthService) -> None:
        stays, leaves = stub.Watch(of("")), stub.Watch(of(""))
        for watch in (stays, leaves):
            assert (await watch.read()).status == _Status.SERVING
        leaves.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leaves.read()
        # When the server answers a later request, it has noticed the disconnected watcher.
        await stub.Check(of(""))
        for is_serving in (False, True, False):
            health.report(is_serving)
            expected = _Status.SERVING if is_serving else _Status.NOT_SERVING
            assert (await stays.read()).status == expected

    asked(ask)


def test_a_watcher_of_an_unknown_service_gets_service_unknown():
    async def ask(stub: Any, health: HealthService) -> None:
        assert (await stub.Watch(of("unknown")).read()).status == _Status.SERVICE_UNKNOWN

    asked(ask)


def test_a_stopping_server_is_not_serving_whatever_is_reported():
    async def ask(stub: Any, health: HealthService) -> None:
        health.stop()
        health.report(is_serving=True)
        assert (await stub.Check(of("a"))).status == _Status.NOT_SERVING

    asked(ask)
