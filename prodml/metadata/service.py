"""Serves ML Metadata's gRPC service, as metadata_store_server does, for any store.

Near the database, it makes distant clients faster: over MySQL or PostgreSQL, one call of ML
Metadata is dozens of SQL statements, each with a round trip. Over the service it is one round trip.
"""

from __future__ import annotations

import contextlib
import functools
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from ml_metadata import errors as mlmd_errors
from ml_metadata.metadata_store.pywrap.metadata_store_extension import (
    metadata_store as calls,
)
from ml_metadata.proto import metadata_store_service_pb2

from prodml.errors import ConfigError, MetadataError, MetadataUnavailableError
from prodml.metadata.store import Store

SERVICE = "ml_metadata.MetadataStoreService"
_THREADS = 8
_DRAIN_SECONDS = 5.0
_LONGEST_MESSAGE = 256 << 20


@contextlib.contextmanager
def serving(
    open_store: Callable[[], Store],
    host: str,
    port: int,
    credentials: grpc.ServerCredentials | None = None,
) -> Iterator[int]:
    """Serves a store while the block runs, and yields the port.

    Args:
        open_store: opens a connection; called once by each of eight threads.
        host: address to listen on.
        port: port to listen on; 0 for a free port.
        credentials: TLS credentials; without them, every client that reaches the port can read and
            write.

    Raises:
        ConfigError: the address is in use.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(_THREADS),
        handlers=[_Calls(open_store)],
        options=[
            ("grpc.max_receive_message_length", _LONGEST_MESSAGE),
            ("grpc.max_send_message_length", _LONGEST_MESSAGE),
            ("grpc.so_reuseport", 0),
        ],
    )
    status = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    for name in ("", SERVICE):
        status.set(name, health_pb2.HealthCheckResponse.SERVING)
    address = f"{host}:{port}"
    try:
        bound = (
            server.add_secure_port(address, credentials)
            if credentials
            else server.add_insecure_port(address)
        )
    except RuntimeError as error:
        raise ConfigError(f"cannot listen on {address}; is it in use?") from error
    server.start()
    try:
        yield bound
    finally:
        status.enter_graceful_shutdown()
        server.stop(_DRAIN_SECONDS).wait()


def wait_for_signal() -> None:
    """Waits for SIGINT or SIGTERM."""
    received = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: received.set())
    received.wait()


class _Calls(grpc.GenericRpcHandler):  # type: ignore[misc]  # gRPC ships no types
    """Passes the bytes of requests to ML Metadata's C++ code, and returns the response bytes."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._own = threading.local()
        described = metadata_store_service_pb2.DESCRIPTOR.services_by_name["MetadataStoreService"]
        self._names = {method.name for method in described.methods if hasattr(calls, method.name)}

    def service(self, details: Any) -> Any:
        service, _, name = details.method.removeprefix("/").partition("/")
        if service != SERVICE or name not in self._names:
            return None
        return grpc.unary_unary_rpc_method_handler(functools.partial(self._answer, name))

    def _answer(self, name: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            store = self._store()
            access = store.read if name.startswith("Get") else store.write
            return access(name, functools.partial(_call, name, request))
        except MetadataUnavailableError as error:
            context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        except MetadataError as error:
            cause = error.__cause__
            code = cause.error_code if isinstance(cause, mlmd_errors.StatusError) else 13
            context.abort(_CODES.get(code, grpc.StatusCode.INTERNAL), str(cause or error))
        raise AssertionError("abort raises")

    def _store(self) -> Store:
        # Threads must not share a connection to ML Metadata.
        if not hasattr(self._own, "store"):
            self._own.store = self._open_store()
        store: Store = self._own.store
        return store


def _call(name: str, request: bytes, store: Any) -> bytes:
    response, message, code = getattr(calls, name)(store._metadata_store, request)
    if code:
        raise mlmd_errors.make_exception(message.decode("utf-8", "replace"), code)
    return bytes(response)


_CODES = {code.value[0]: code for code in grpc.StatusCode}
