"""The REST front end: TF Serving's HTTP API."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import tensorflow as tf
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    prediction_log_pb2,
    regression_pb2,
)

from prodml.errors import ServingError
from prodml.serving.calls.admission import Admission, Admitted
from prodml.serving.calls.execution import run_in_thread
from prodml.serving.calls.inference import Answer, Inference
from prodml.serving.calls.responses import classify_log, predict_log, predict_request, regress_log
from prodml.serving.observation.metrics import ServerMetrics
from prodml.serving.rest_api import json_answers, json_metadata
from prodml.serving.rest_api.json_processes import JsonProcesses
from prodml.serving.rest_api.json_requests import PredictBody, read_examples_body, read_predict_body
from prodml.serving.rest_api.json_tensors import check_writable
from prodml.serving.rest_api.rest_bodies import receive_body, unpack_body
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
_WORTH_COMPRESSING = 1024
_SMALL = 1 << 15
"""Bytes up to which reading a body takes less time than sending it to another process and back."""
_PART = 1 << 18
"""Maximum bytes of an answer that are written in one step."""
_EMPTY = memoryview(b"")
_THREADS = 2
_Infer: TypeAlias = Callable[
    [model_pb2.ModelSpec, list[bytes], Admitted, bool], Awaitable[str | memoryview]
]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RestOptions:
    """How REST requests are answered.

    Attributes:
        timeout_seconds: time limit for a request and its body, and again for sending its answer;
            None for no limit.
        max_body_bytes: maximum size of a decompressed body.
        idle_seconds: how long a connection may be open without a complete request head.
        drain_seconds: time limit for requests in progress when the server stops.
        metrics_path: path of the metrics; None if they are not served.
        enable_cors: whether browsers may send requests from other origins.
    """

    timeout_seconds: float | None = 30.0
    max_body_bytes: int = 64 << 20
    idle_seconds: float = 60.0
    drain_seconds: float = 10.0
    metrics_path: str | None = None
    enable_cors: bool = False


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
        options: RestOptions = RestOptions(),
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
        return await self._send(web.Response(body=text, content_type="text/plain"), request)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        if request.method == "OPTIONS" and self._headers:
            return web.Response(headers=self._headers)
        path = request.rel_url.raw_path
        if not path.lower().startswith("/v1/"):
            response = self._response(404, json_answers.error("Not Found"), request)
            return await self._send(response, request)
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
                            call.spec, parts, admitted, _accepts_gzip(request)
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
        if isinstance(body, str):
            return await self._send(self._response(status, body, request), request)
        large = web.StreamResponse(headers=self._headers)
        large.headers["Content-Type"] = "application/json"
        if _accepts_gzip(request):
            large.headers["Content-Encoding"] = "gzip"
        large.content_length = len(body)
        return await self._send(large, request, body)

    def _response(self, status: int, body: str, request: web.Request) -> web.Response:
        response = web.Response(status=status, body=body.encode(), headers=self._headers)
        # Without a charset, as in TF Serving; aiohttp would add one.
        response.headers["Content-Type"] = "application/json"
        if len(body) >= _WORTH_COMPRESSING and _accepts_gzip(request):
            response.enable_compression(web.ContentCoding.gzip)
        return response

    async def _send(
        self, response: web.StreamResponse, request: web.Request, body: memoryview = _EMPTY
    ) -> web.StreamResponse:
        """Sends an answer; writes a large body in parts, because each write copies its bytes."""
        last = (max(len(body), 1) - 1) // _PART * _PART
        try:
            async with asyncio.timeout(self._options.timeout_seconds):
                await response.prepare(request)
                for start in range(0, last, _PART):
                    await response.write(body[start : start + _PART])
                # `write_eof` waits until the client reads; `write` waits for large parts only.
                await response.write_eof(bytes(body[last:]))
        except TimeoutError:
            # The client does not read its answer.
            if request.transport is not None:
                # `close` would wait for the client to read the buffered data.
                request.transport.abort()
        except ConnectionError:
            pass  # The client has disconnected; aiohttp would log a traceback.
        return response

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
        record = functools.partial(_predict_log, spec, parsed, answer)
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
        log = _classify_log if is_classify else _regress_log
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


def _accepts_gzip(request: web.Request) -> bool:
    return "gzip" in request.headers.get("Accept-Encoding", "")


def _predict_log(
    spec: model_pb2.ModelSpec, parsed: PredictBody, answer: Answer
) -> prediction_log_pb2.PredictionLog:
    return predict_log(predict_request(spec, parsed.inputs), answer)


def _classify_log(
    spec: model_pb2.ModelSpec, examples: list[bytes], answer: Answer
) -> prediction_log_pb2.PredictionLog:
    request = classification_pb2.ClassificationRequest(model_spec=spec)
    request.input.example_list.examples.extend(map(tf.train.Example.FromString, examples))
    return classify_log(request, answer)


def _regress_log(
    spec: model_pb2.ModelSpec, examples: list[bytes], answer: Answer
) -> prediction_log_pb2.PredictionLog:
    request = regression_pb2.RegressionRequest(model_spec=spec)
    request.input.example_list.examples.extend(map(tf.train.Example.FromString, examples))
    return regress_log(request, answer)


def is_worth_logging(record: logging.LogRecord) -> bool:
    """Filters aiohttp's log: drops the tracebacks of requests that are not HTTP."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, (HttpProcessingError, RequestPayloadError))
