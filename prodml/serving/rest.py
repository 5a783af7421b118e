"""The REST front end: TF Serving's HTTP API."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from prodml.errors import ServingError
from prodml.serving import json_answers
from prodml.serving.inference import Inference
from prodml.serving.json_requests import (
    fill_examples,
    fill_predict_request,
    parse_body,
    read_signature_name,
)
from prodml.serving.metrics import ServerMetrics
from prodml.serving.rest_paths import parse_path

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

log = logging.getLogger(__name__)


def rest_application(
    inference: Inference,
    *,
    timeout_seconds: float,
    metrics: ServerMetrics,
    metrics_path: str | None,
    enable_cors: bool,
    max_body_bytes: int,
) -> web.Application:
    """The HTTP API as an aiohttp application.

    Args:
        inference: answers the requests.
        timeout_seconds: how long a request may take, its body included.
        metrics: where requests are counted.
        metrics_path: where the metrics are served; None for nowhere.
        enable_cors: whether browsers may ask from other origins.
        max_body_bytes: the largest body, uncompressed.
    """
    api = _RestApi(inference, timeout_seconds, metrics, enable_cors)
    application = web.Application(client_max_size=max_body_bytes)
    if metrics_path:

        async def expose(_: web.Request) -> web.Response:
            return web.Response(body=metrics.exposition(), content_type="text/plain")

        application.router.add_get(metrics_path, expose)
    application.router.add_route("*", "/{path:.*}", api.handle)
    return application


def is_worth_logging(record: logging.LogRecord) -> bool:
    """A filter for aiohttp's log: what is no HTTP would write a traceback each time."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, (HttpProcessingError, RequestPayloadError))


class _RestApi:
    def __init__(
        self,
        inference: Inference,
        timeout_seconds: float,
        metrics: ServerMetrics,
        enable_cors: bool,
    ) -> None:
        self._inference = inference
        self._timeout_seconds = timeout_seconds
        self._metrics = metrics
        self._headers = _CORS if enable_cors else {}
        self._verbs: dict[str, Callable[[model_pb2.ModelSpec, bytes], Awaitable[str]]] = {
            "predict": self._predict,
            "classify": self._classify,
            "regress": self._regress,
            "status": self._status,
            "metadata": self._metadata,
        }

    async def handle(self, request: web.Request) -> web.Response:
        started = time.perf_counter()
        if request.method == "OPTIONS" and self._headers:
            return web.Response(headers=self._headers)
        path = request.rel_url.raw_path
        if not path.lower().startswith("/v1/"):
            return self._response(404, json_answers.error("Not Found"), request)
        model, verb, code = "", "", "OK"
        try:
            async with asyncio.timeout(self._timeout_seconds):
                call = parse_path(request.method, path)
                model, verb = call.spec.name, call.verb
                body = await request.read()
                answer, status = await self._verbs[verb](call.spec, body), 200
        except ServingError as error:
            code, status = error.code, _HTTP_CODES[error.code]
            answer = json_answers.error(str(error))
        except TimeoutError:
            code, status = "DEADLINE_EXCEEDED", 504
            answer = json_answers.error("Timed out: the request took longer than the server allows")
        except web.HTTPRequestEntityTooLarge as error:
            code, status = "INVALID_ARGUMENT", 413
            answer = json_answers.error(error.text or "the body is too large")
        except (web.RequestPayloadError, HttpProcessingError) as error:
            code, status = "INVALID_ARGUMENT", 400
            answer = json_answers.error(f"the body cannot be read: {error}")
        except (web.HTTPException, ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            # Whatever a request may bring about, its client is told no more than this.
            log.exception("a request failed unexpectedly")
            code, status, answer = "INTERNAL", 500, json_answers.error("internal error")
        if verb:
            self._metrics.request(model, verb, "REST", code, time.perf_counter() - started)
        return self._response(status, answer, request)

    def _response(self, status: int, body: str, request: web.Request) -> web.Response:
        response = web.Response(status=status, body=body.encode(), headers=self._headers)
        # Bare, as TF Serving has it: aiohttp would add the character set.
        response.headers["Content-Type"] = "application/json"
        if len(body) >= _WORTH_COMPRESSING and "gzip" in request.headers.get("Accept-Encoding", ""):
            response.enable_compression(web.ContentCoding.gzip)
        return response

    async def _predict(self, spec: model_pb2.ModelSpec, body: bytes) -> str:
        request = predict_pb2.PredictRequest(model_spec=spec)
        document = parse_body(body)
        request.model_spec.signature_name = read_signature_name(document)
        types = self._inference.input_types(request.model_spec)
        goes_by_rows = fill_predict_request(request, document, types)
        response = await self._inference.predict(request)
        return (json_answers.predictions if goes_by_rows else json_answers.outputs)(response)

    async def _classify(self, spec: model_pb2.ModelSpec, body: bytes) -> str:
        request = classification_pb2.ClassificationRequest(model_spec=spec)
        document = parse_body(body)
        request.model_spec.signature_name = read_signature_name(document)
        fill_examples(request, document)
        return json_answers.classifications(await self._inference.classify(request))

    async def _regress(self, spec: model_pb2.ModelSpec, body: bytes) -> str:
        request = regression_pb2.RegressionRequest(model_spec=spec)
        document = parse_body(body)
        request.model_spec.signature_name = read_signature_name(document)
        fill_examples(request, document)
        return json_answers.regressions(await self._inference.regress(request))

    async def _status(self, spec: model_pb2.ModelSpec, _: bytes) -> str:
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
        return json_answers.status(self._inference.model_status(request))

    async def _metadata(self, spec: model_pb2.ModelSpec, _: bytes) -> str:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=spec, metadata_field=["signature_def"]
        )
        return json_answers.metadata(self._inference.model_metadata(request))
