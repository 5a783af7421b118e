"""The health service of gRPC.

The implementation in grpcio-health-checking is not used because it drops all watchers of a service
when one of them disconnects.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from prodml.serving.grpc_api.grpc_answers import Context

_Status = health_pb2.HealthCheckResponse.ServingStatus


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Reports whether each service is serving. Use it on the event loop only.

    Args:
        services: the names of the services; each is SERVING at first.
    """

    def __init__(self, services: Collection[str]) -> None:
        self._statuses = dict.fromkeys(services, _Status.SERVING)
        self._is_stopping = False
        self._changed = asyncio.Event()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, _: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        sent = None
        while True:
            status = self._statuses.get(request.service, _Status.SERVICE_UNKNOWN)
            changed = self._changed
            if status != sent:
                yield health_pb2.HealthCheckResponse(status=status)
                sent = status
            else:
                await changed.wait()

    def report(self, is_serving: bool) -> None:
        """Sets the status of all services; after `stop` it remains NOT_SERVING."""
        status = _Status.SERVING if is_serving and not self._is_stopping else _Status.NOT_SERVING
        self._statuses = dict.fromkeys(self._statuses, status)
        self._changed.set()
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """Sets all services to NOT_SERVING permanently."""
        self._is_stopping = True
        self.report(is_serving=False)
