"""ML Metadata's gRPC service over any store that we open: what metadata_store_server offers.

Beside a database, it spares clients that are far away: over MySQL or PostgreSQL one call of ML
Metadata is dozens of SQL statements, each of which waits for its answer. Here it is one.
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
    """Serves a store while the block runs; gives the port.

    Args:
        open_store: a connection for each of eight threads.
        host: address to listen on.
        port: 0 for a free one.
        credentials: for TLS; without them, whoever reaches the port may read and write.

    Raises:
        ConfigError: the port is taken.
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
    """Returns at SIGINT or SIGTERM."""
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    told.wait()


class _Calls(grpc.GenericRpcHandler):  # type: ignore[misc]  # gRPC ships no types
    """Hands the bytes of a request to ML Metadata's C++ code, and those of the answer back."""

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
            ask = store.read if name.startswith("Get") else store.write
            return ask(name, functools.partial(_call, name, request))
        except MetadataUnavailableError as error:
            context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        except MetadataError as error:
            cause = error.__cause__
            code = cause.error_code if isinstance(cause, mlmd_errors.StatusError) else 13
            context.abort(_CODES.get(code, grpc.StatusCode.INTERNAL), str(cause or error))
        raise AssertionError("abort raises")

    def _store(self) -> Store:
        # A connection to ML Metadata is not to be shared between threads.
        if not hasattr(self._own, "store"):
            self._own.store = self._open_store()
        store: Store = self._own.store
        return store


def _call(name: str, request: bytes, store: Any) -> bytes:
    answer, message, code = getattr(calls, name)(store._metadata_store, request)
    if code:
        raise mlmd_errors.make_exception(message.decode("utf-8", "replace"), code)
    return bytes(answer)


_CODES = {code.value[0]: code for code in grpc.StatusCode}
