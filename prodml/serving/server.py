"""The embedded model server: runs the front ends, loads models and serves them in one process.

gRPC and REST share one event loop; inference and loading run in threads. The interface is that of
`tensorflow_model_server`; docs/serving.md compares each flag with it and lists the differences.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import signal
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

import grpc
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.config import logging_config_pb2

from prodml.errors import ConfigError, ServingError
from prodml.serving.calls.admission import Admission
from prodml.serving.calls.batching import BatchingRunner
from prodml.serving.calls.execution import DirectRunner, Runner
from prodml.serving.calls.inference import Inference
from prodml.serving.configuration.followed_config import follow_config_file
from prodml.serving.configuration.initial_config import initial_config
from prodml.serving.configuration.model_roots import check_base_paths, model_roots
from prodml.serving.configuration.server_options import ServerOptions, channel_arguments
from prodml.serving.configuration.text_protos import ModelServerConfig
from prodml.serving.grpc_api.allocator import keep_large_buffers
from prodml.serving.grpc_api.grpc_addresses import grpc_addresses, listen, url_host
from prodml.serving.grpc_api.grpc_answers import is_worth_logging
from prodml.serving.grpc_api.health import HealthService
from prodml.serving.grpc_api.model_service import (
    MODEL_SERVICE,
    ModelService,
    describe_model_service,
)
from prodml.serving.grpc_api.prediction_service import PREDICTION_SERVICE, PredictionService
from prodml.serving.loading import load_version
from prodml.serving.models.model_catalog import Models
from prodml.serving.observation.metrics import ServerMetrics
from prodml.serving.observation.request_log import RequestLog
from prodml.serving.part_options import (
    batching_options,
    loading_options,
    model_options,
    request_log_options,
    rest_options,
)
from prodml.serving.rest_api.accept_failures import AcceptFailures

if TYPE_CHECKING:
    from aiohttp import web

    from prodml.serving.rest_api.rest_handlers import RestApi

_SERVICES = (PREDICTION_SERVICE, MODEL_SERVICE)

log = logging.getLogger(__name__)


def serve(options: ServerOptions) -> None:
    """Serves models until SIGTERM or SIGINT, then finishes the requests in progress.

    Args:
        options: what to serve, and where.

    Raises:
        ConfigError: an option or a file that it names is invalid, or a port is in use.
    """
    options.check()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    logging.getLogger("grpc._cython.cygrpc").addFilter(is_worth_logging)
    logging.getLogger("asyncio").addFilter(AcceptFailures())
    # TensorFlow warns that loading into sessions is deprecated; TF Serving has no other way.
    tf.get_logger().setLevel(logging.ERROR)
    keep_large_buffers(options.inflight_bytes)
    asyncio.run(_serve(options))


async def _serve(options: ServerOptions) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = ModelServer(options)
    starting = asyncio.create_task(server.start())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        await starting
        await stopping
    else:
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
    log.info("Stopping: refusing new requests and finishing those in progress")
    await server.stop()


class ModelServer:
    """A model server. Create, start and stop it on one event loop.

    Args:
        options: what to serve, and where.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        batching = batching_options(options)
        self._metrics = ServerMetrics(batching.thread_pool_name if batching else "")
        self._runner: Runner = (
            BatchingRunner(batching, self._metrics)
            if batching
            else DirectRunner(max(options.grpc_max_threads, options.rest_api_num_threads))
        )
        self._request_log = RequestLog(
            self._metrics,
            request_log_options(options),
        )
        load = functools.partial(
            load_version, options=model_options(options), metrics=self._metrics
        )
        self._models = Models(load, loading_options(options))
        self._inference = Inference(
            self._models,
            self._runner,
            self._metrics,
            self._request_log,
        )
        self._admission = Admission(options.max_waiting_requests, options.inflight_bytes)
        self._predictions = PredictionService(
            self._inference,
            self._metrics,
            self._admission,
            answer_as_content=options.enable_serialization_as_tensor_content,
        )
        self._health = HealthService(("", *_SERVICES))
        self._grpc: grpc.aio.Server | None = None
        self._rest: web.AppRunner | None = None
        self._rest_api: RestApi | None = None
        self._watching: list[asyncio.Task[None]] = []
        self._reloads: set[asyncio.Task[None]] = set()
        self._model_roots: Sequence[str] = ()

    async def start(self) -> None:
        """Loads the models, then listens for requests.

        Raises:
            ConfigError: a file is invalid or a port is in use.
        """
        options = self._options
        config = initial_config(options)
        self._model_roots = model_roots(options.model_roots, options.host, config)
        # Imported modules are never freed, so the garbage collector, which runs after each unload,
        # need not scan them. Models are loaded after this and can be collected.
        gc.collect()
        gc.freeze()
        try:
            self._request_log.configure(_logging_configs(config))
            await self._models.start(config)
        except ServingError as error:
            where = options.model_config_file or "--model_base_path"
            raise ConfigError(f"{where}: {error}") from error
        self._grpc = self._grpc_server()
        await self._grpc.start()
        if options.rest_api_port:
            await self._start_rest()
        self._models.start_polling()
        self._watching = [asyncio.create_task(self._watch_health())]
        if options.model_config_file and options.model_config_file_poll_wait_seconds > 0:
            following = follow_config_file(
                options.model_config_file,
                config,
                self._configure,
                poll_seconds=options.model_config_file_poll_wait_seconds,
                retry_seconds=options.load_retry_interval_micros / 1e6,
            )
            self._watching.append(asyncio.create_task(following))
        log.info("Ready: %s", self._addresses())

    async def stop(self) -> None:
        """Refuses new requests, finishes those in progress, and unloads the models."""
        for task in (*self._watching, *self._reloads):
            task.cancel()
        self._health.stop()
        stopping: list[Awaitable[None]] = []
        if self._grpc is not None:
            stopping.append(self._grpc.stop(self._options.drain_seconds))
        if self._rest is not None:
            stopping.append(self._rest.cleanup())
        await asyncio.gather(*stopping)
        await self._models.close()
        await asyncio.to_thread(self._predictions.close)
        if self._rest_api is not None:
            await asyncio.to_thread(self._rest_api.close)
        await asyncio.to_thread(self._runner.close)
        await asyncio.to_thread(self._request_log.close)

    async def _configure_for_client(self, config: ModelServerConfig) -> None:
        """Serves a config that a client sent; the change continues if the client disconnects.

        Raises:
            ServingError: the config is rejected; nothing has changed.
        """
        # In a thread: resolving symbolic links may be slow.
        await asyncio.to_thread(check_base_paths, config, self._model_roots)
        task = asyncio.create_task(self._configure(config))
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)
        await asyncio.shield(task)

    async def _configure(self, config: ModelServerConfig) -> None:
        logging_configs = _logging_configs(config)
        self._request_log.check(logging_configs)
        await self._models.configure(config)
        self._request_log.configure(logging_configs)

    def _grpc_server(self) -> grpc.aio.Server:
        options = self._options
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", options.max_request_bytes),
                ("grpc.max_send_message_length", -1),
                # Otherwise two servers could share a port, each answering some of the requests.
                ("grpc.so_reuseport", 0),
                *channel_arguments(options.grpc_channel_arguments),
            ]
        )
        models = ModelService(self._inference, self._configure_for_client)
        server.add_generic_rpc_handlers((self._predictions.handler(), models.handler()))
        names = [*_SERVICES, reflection.SERVICE_NAME]
        if options.enable_grpc_healthcheck_service:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
            names.append(health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
        describe_model_service()
        reflection.enable_server_reflection(names, server)
        listen(server, options)
        return server

    async def _start_rest(self) -> None:
        # Imported only if REST is enabled: InfraValidator's servers start sooner without it.
        from aiohttp import web

        from prodml.serving.rest_api import rest_handlers as rest
        from prodml.serving.rest_api.rest_handlers import RestApi

        logging.getLogger("aiohttp.server").addFilter(rest.is_worth_logging)
        options = self._options
        self._rest_api = RestApi(
            self._inference, self._metrics, self._admission, rest_options(options)
        )
        self._rest = self._rest_api.runner()
        await self._rest.setup()
        try:
            await web.TCPSite(self._rest, options.host, options.rest_api_port).start()
        except OSError as error:
            raise ConfigError(
                f"cannot listen for REST on {url_host(options.host)}:{options.rest_api_port}: "
                f"{error.strerror}; choose another --rest_api_port"
            ) from error

    def _addresses(self) -> str:
        options = self._options
        parts = [f"gRPC on {address}" for address in grpc_addresses(options)]
        if options.rest_api_port:
            parts.append(f"REST on http://{url_host(options.host)}:{options.rest_api_port}")
        return ", ".join(parts)

    async def _watch_health(self) -> None:
        """Reports to the health service whether every model has an available version."""

        def is_serving() -> bool:
            return all(self._models.available(name) for name in self._models.names())

        def has_changed() -> bool:
            return is_serving() != reported

        while True:
            reported = is_serving()
            self._health.report(reported)
            await self._models.until(has_changed)


def _logging_configs(config: ModelServerConfig) -> dict[str, logging_config_pb2.LoggingConfig]:
    return {
        model.name: model.logging_config
        for model in config.model_config_list.config
        if model.HasField("logging_config")
    }
