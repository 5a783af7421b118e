"""The REST front end: TF Serving's HTTP API."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import tensorflow as tf
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    prediction_log_pb2,
)

from prodml.errors import ServingError
from prodml.serving.calls.admission import Admission, Admitted
from prodml.serving.calls.execution import run_in_thread
from prodml.serving.calls.inference import Answer, Inference
from prodml.serving.observation.metrics import ServerMetrics
from prodml.serving.rest_api import json_answers, json_metadata, rest_logs
from prodml.serving.rest_api.json_example_requests import read_examples_body
from prodml.serving.rest_api.json_predict_requests import read_predict_body
from prodml.serving.rest_api.json_processes import JsonProcesses
from prodml.serving.rest_api.json_writing import check_writable
from prodml.serving.rest_api.rest_answers import accepts_gzip, send, send_json
from prodml.serving.rest_api.rest_bodies import receive_body, unpack_body
from prodml.serving.rest_api.rest_options import RestOptions
from prodml.serving.rest_api.rest_paths import parse_path
from prodml.serving.values.data_types import is_large
from prodml.serving.values.signatures import DEFAULT_SIGNATURE

_HTTP_CODES = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_SMALL = 1 << 15
"""Bytes up to which reading a body takes less time than sending it to another process and back."""
_THREADS = 2
_Infer: TypeAlias = Callable[
    [model_pb2.ModelSpec, list[bytes], Admitted, bool], Awaitable[str | memoryview]
]

log = logging.getLogger(__name__)


class RestApi:
    """The HTTP API.

    Args:
        inference: answers the requests.
        metrics: counts the requests.
        admission: limits the requests.
        options: how requests are answered.
    """

    def __init__(
        self,
        inference: Inference,
        metrics: ServerMetrics,
        admission: Admission,
        options: RestOptions,
    ) -> None:
        self._inference = inference
        self._metrics = metrics
        self._admission = admission
        self._options = options
        self._headers = _CORS if options.enable_cors else {}
        self._json = JsonProcesses()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="bodies")
        self._exposing: asyncio.Task[bytes] | None = None
        self._queries: dict[str, Callable[[model_pb2.ModelSpec], str]] = {
            "status": self._status,
            "metadata": self._metadata,
        }
        self._inferences: dict[str, _Infer] = {
            "predict": self._predict,
            "classify": functools.partial(self._of_examples, "classify"),
            "regress": functools.partial(self._of_examples, "regress"),
        }

    def runner(self) -> web.AppRunner:
        """Returns the runner, which listens once it has been set up and has a site."""
        application = web.Application()
        if self._options.metrics_path:
            application.router.add_get(self._options.metrics_path, self._expose)
        application.router.add_route("*", "/{path:.*}", self._handle)
        return web.AppRunner(
            application,
            access_log=None,
            shutdown_timeout=self._options.drain_seconds,
            # `unpack_body` decompresses bodies in threads and within limits.
            auto_decompress=False,
            # A request whose client has disconnected need not run.
            handler_cancellation=True,
            keepalive_timeout=self._options.idle_seconds,
        )

    def close(self) -> None:
        """Stops the processes and threads that read and write large bodies."""
        self._json.close()
        self._pool.shutdown()

    async def _expose(self, request: web.Request) -> web.StreamResponse:
        # Thousands of lines take milliseconds, so a thread writes them, once for all concurrent
        # requests.
        if self._exposing is None or self._exposing.done():
            self._exposing = asyncio.create_task(
                run_in_thread(self._pool, self._metrics.exposition)
            )
        text = await asyncio.shield(self._exposing)
        response = web.Response(body=text, content_type="text/plain")
        return await send(request, response, self._options.timeout_seconds)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        if request.method == "OPTIONS" and self._headers:
            return web.Response(headers=self._headers)
        path = request.rel_url.raw_path
        if not path.lower().startswith("/v1/"):
            return await self._send(request, json_answers.error("Not Found"), 404)
        model, verb, code = "", "", "OK"
        body: str | memoryview
        try:
            async with asyncio.timeout(self._options.timeout_seconds):
                call = parse_path(request.method, path)
                model, verb, status = call.spec.name, call.verb, 200
                if verb in self._queries:
                    body = self._queries[verb](call.spec)
                else:
                    limit = self._options.max_body_bytes
                    with self._admission.arriving() as arriving:
                        received = await receive_body(request, arriving, limit)
                    with self._admission.request() as admitted:
                        parts = await unpack_body(request, received, admitted, limit, self._pool)
                        body = await self._inferences[verb](
                            call.spec, parts, admitted, accepts_gzip(request)
                        )
        except ServingError as error:
            code, status = error.code, _HTTP_CODES[error.code]
            body = json_answers.error(str(error))
        except TimeoutError:
            code, status = "DEADLINE_EXCEEDED", 504
            body = json_answers.error("Timed out: the request took longer than the server allows")
        except web.HTTPRequestEntityTooLarge as error:
            code, status = "INVALID_ARGUMENT", 413
            body = json_answers.error(error.text or "the body is too large")
        except (web.RequestPayloadError, HttpProcessingError) as error:
            code, status = "INVALID_ARGUMENT", 400
            body = json_answers.error(f"cannot read the body: {error}")
        except (web.HTTPException, ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            # Details of unexpected errors are logged, but not sent to the client.
            log.exception("a request failed unexpectedly")
            code, status, body = "INTERNAL", 500, json_answers.error("internal error")
        if verb:
            self._metrics.request(
                model,
                verb,
                "REST",
                code,
                time.perf_counter() - started,
                is_served=self._inference.serves(model),
            )
        return await self._send(request, body, status)

    async def _send(
        self, request: web.Request, body: str | memoryview, status: int
    ) -> web.StreamResponse:
        timeout = self._options.timeout_seconds
        return await send_json(request, body, timeout, status=status, headers=self._headers)

    async def _predict(
        self, spec: model_pb2.ModelSpec, parts: list[bytes], _: Admitted, is_packed: bool
    ) -> str | memoryview:
        types = self._inference.input_types(spec)
        is_small = sum(map(len, parts)) <= _SMALL
        if is_small:
            parsed = read_predict_body(b"".join(parts), types, DEFAULT_SIGNATURE)
        else:
            parsed = await self._json.read_predict(parts, types)
        spec.signature_name = parsed.signature_name
        answer = await self._inference.predict(spec, parsed.inputs)
        form = "predictions" if parsed.has_rows else "outputs"
        record = functools.partial(rest_logs.predict_log, spec, parsed, answer)
        return await self._written(form, answer, record, is_small, is_packed)

    async def _of_examples(
        self,
        verb: str,
        spec: model_pb2.ModelSpec,
        parts: list[bytes],
        admitted: Admitted,
        is_packed: bool,
    ) -> str | memoryview:
        self._inference.input_types(spec)
        is_small = sum(map(len, parts)) <= _SMALL
        if is_small:
            parsed = read_examples_body(b"".join(parts), tf.train.Example)
            spec.signature_name, examples = parsed.signature_name, parsed.serialized()
        else:
            spec.signature_name, examples = await self._json.read_examples(parts)
        # With the shared context, the examples may be far larger than the body.
        admitted.hold_at_least(sum(map(len, examples)))
        is_classify = verb == "classify"
        infer = self._inference.classify if is_classify else self._inference.regress
        answer = await infer(spec, examples)
        form = "classifications" if is_classify else "regressions"
        log = rest_logs.classify_log if is_classify else rest_logs.regress_log
        record = functools.partial(log, spec, examples, answer)
        return await self._written(form, answer, record, is_small, is_packed)

    async def _written(
        self,
        form: str,
        answer: Answer,
        record: Callable[[], prediction_log_pb2.PredictionLog],
        is_small: bool,
        is_packed: bool,
    ) -> str | memoryview:
        """Writes the body of an answer; returns text if it is small."""
        outputs = answer.outputs
        is_small = is_small and not any(map(is_large, outputs.values()))
        if is_small:
            self._inference.log(answer.model, record)
            return json_answers.FORMS[form](outputs)
        await run_in_thread(self._pool, lambda: self._inference.log(answer.model, record))
        if not any(map(is_large, outputs.values())):
            return json_answers.FORMS[form](outputs)
        for output in outputs.values():
            check_writable(output)
        return await self._json.render(form, outputs, packed=is_packed)

    def _status(self, spec: model_pb2.ModelSpec) -> str:
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
        return json_metadata.status(self._inference.model_status(request))

    def _metadata(self, spec: model_pb2.ModelSpec) -> str:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=spec, metadata_field=["signature_def"]
        )
        return json_metadata.metadata(self._inference.model_metadata(request))


def is_worth_logging(record: logging.LogRecord) -> bool:
    """Filters aiohttp's log: drops the tracebacks of requests that are not HTTP."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, (HttpProcessingError, RequestPayloadError))
