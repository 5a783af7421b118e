"""The gRPC front end: TF Serving's PredictionService and ModelService."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError, Message
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    regression_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from prodml.errors import ServingError
from prodml.serving.admission import Admission
from prodml.serving.data_types import Array, is_large
from prodml.serving.execution import Result, run_in_thread
from prodml.serving.inference import Answer, Inference
from prodml.serving.large_requests import read_examples_request, read_predict_request
from prodml.serving.large_responses import write_predict_response
from prodml.serving.metrics import ServerMetrics
from prodml.serving.responses import (
    classification_response,
    classify_log,
    multi_inference_log,
    multi_inference_response,
    predict_log,
    predict_response,
    regress_log,
    regression_response,
)
from prodml.serving.signatures import serialized_examples

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"

Context: TypeAlias = Any
"""A `grpc.aio.ServicerContext`."""
Response = TypeVar("Response")
_Method: TypeAlias = "Callable[[_Call], Awaitable[bytes]]"
Configure = Callable[[model_server_config_pb2.ModelServerConfig], Awaitable[None]]

_SMALL = 1 << 16
"""Bytes of a message that takes less time to read than to hand it to a thread and back."""
_THREADS = 2

log = logging.getLogger(__name__)


class PredictionService:
    """Predict, Classify, Regress and MultiInference, and the metadata of models.

    Messages come and go as bytes: large ones are read and written in threads.

    Args:
        inference: answers the requests.
        metrics: where requests are counted.
        admission: bounds the requests.
        answer_as_content: whether Predict answers with bytes in `tensor_content`.
    """

    def __init__(
        self,
        inference: Inference,
        metrics: ServerMetrics,
        admission: Admission,
        *,
        answer_as_content: bool = False,
    ) -> None:
        self._inference = inference
        self._metrics = metrics
        self._admission = admission
        self._answer_as_content = answer_as_content
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="messages")

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server adds."""
        methods: dict[str, _Method] = {
            "Predict": self._predict,
            "Classify": self._classify,
            "Regress": self._regress,
            "MultiInference": self._multi_inference,
            "GetModelMetadata": self._metadata,
        }
        return grpc.method_handlers_generic_handler(
            PREDICTION_SERVICE,
            {
                name: grpc.unary_unary_rpc_method_handler(
                    functools.partial(self._answer, name, method)
                )
                for name, method in methods.items()
            },
        )

    def close(self) -> None:
        """Waits for the messages that are being read or written."""
        self._pool.shutdown()

    async def _answer(self, api: str, method: _Method, message: bytes, context: Context) -> bytes:
        started = time.perf_counter()
        call = _Call(message)

        async def answer() -> bytes:
            with self._admission.request() as place:
                place.hold(len(message))
                return await method(call)

        response, status = await answered(answer, bytes, context)
        self._metrics.request(call.model, api, "GRPC", status, time.perf_counter() - started)
        return response

    async def _predict(self, call: _Call) -> bytes:
        message = call.message
        inputs: Mapping[str, tensor_pb2.TensorProto | Array]
        if len(message) <= _SMALL:
            request = predict_pb2.PredictRequest.FromString(message)
            inputs = request.inputs
        else:
            request, inputs = await self._in_thread(lambda: read_predict_request(message))
        call.check(request)
        answer = await self._inference.predict(request.model_spec, inputs, request.output_filter)
        if len(message) <= _SMALL and not any(map(is_large, answer.outputs.values())):
            self._inference.log(answer.model, lambda: predict_log(request, answer))
            response = predict_response(answer, as_content=self._answer_as_content)
            return serialized(response)

        def write() -> bytes:
            whole = predict_pb2.PredictRequest.FromString
            self._inference.log(answer.model, lambda: predict_log(whole(message), answer))
            return write_predict_response(answer, as_content=self._answer_as_content)

        return await self._in_thread(write)

    async def _classify(self, call: _Call) -> bytes:
        kind = classification_pb2.ClassificationRequest
        request, examples = await self._read(kind, call)
        call.check(request)
        answer = await self._inference.classify(request.model_spec, examples)

        def write() -> bytes:
            self._inference.log(
                answer.model, lambda: classify_log(kind.FromString(call.message), answer)
            )
            return serialized(classification_response(answer))

        return await self._write(write, [answer])

    async def _regress(self, call: _Call) -> bytes:
        kind = regression_pb2.RegressionRequest
        request, examples = await self._read(kind, call)
        call.check(request)
        answer = await self._inference.regress(request.model_spec, examples)

        def write() -> bytes:
            self._inference.log(
                answer.model, lambda: regress_log(kind.FromString(call.message), answer)
            )
            return serialized(regression_response(answer))

        return await self._write(write, [answer])

    async def _multi_inference(self, call: _Call) -> bytes:
        kind = inference_pb2.MultiInferenceRequest
        request, examples = await self._read(kind, call)
        if request.tasks:
            call.model = request.tasks[0].model_spec.name
        answers = await self._inference.multi_inference(request.tasks, examples)

        def write() -> bytes:
            self._inference.log(
                answers[0].model,
                lambda: multi_inference_log(kind.FromString(call.message), answers),
            )
            return serialized(multi_inference_response(request.tasks, answers))

        return await self._write(write, answers)

    async def _metadata(self, call: _Call) -> bytes:
        request = get_model_metadata_pb2.GetModelMetadataRequest.FromString(call.message)
        call.model = request.model_spec.name
        return serialized(self._inference.model_metadata(request))

    async def _read(self, kind: Any, call: _Call) -> tuple[Any, list[bytes]]:
        """A request with examples, and these examples, serialized."""
        message = call.message
        if len(message) <= _SMALL:
            request = kind.FromString(message)
            return request, serialized_examples(request.input)
        return await self._in_thread(lambda: read_examples_request(kind, message))

    async def _write(self, write: Callable[[], bytes], answers: Sequence[Answer]) -> bytes:
        outputs = (output for answer in answers for output in answer.outputs.values())
        return await self._in_thread(write) if any(map(is_large, outputs)) else write()

    def _in_thread(self, work: Callable[[], Result]) -> Awaitable[Result]:
        return run_in_thread(self._pool, work)


def serialized(message: Message) -> bytes:
    """The bytes of a message."""
    found: bytes = message.SerializeToString()
    return found


class _Call:
    """One request, and the name of its model as soon as it is known."""

    __slots__ = ("message", "model")

    def __init__(self, message: bytes) -> None:
        self.message = message
        self.model = ""

    def check(self, request: Any) -> None:
        """Notes the model.

        Raises:
            ServingError: the request names none.
        """
        if not request.HasField("model_spec"):
            raise ServingError("INVALID_ARGUMENT", "Missing ModelSpec")
        self.model = request.model_spec.name


class ModelService(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    """The state of models, and what is served."""

    def __init__(self, inference: Inference, configure: Configure) -> None:
        self._inference = inference
        self._configure = configure

    async def GetModelStatus(
        self, request: get_model_status_pb2.GetModelStatusRequest, context: Context
    ) -> get_model_status_pb2.GetModelStatusResponse:
        async def status() -> get_model_status_pb2.GetModelStatusResponse:
            return self._inference.model_status(request)

        response, _ = await answered(status, get_model_status_pb2.GetModelStatusResponse, context)
        return response

    async def HandleReloadConfigRequest(
        self, request: model_management_pb2.ReloadConfigRequest, context: Context
    ) -> model_management_pb2.ReloadConfigResponse:
        async def reload() -> model_management_pb2.ReloadConfigResponse:
            if request.config.WhichOneof("config") != "model_config_list":
                raise ServingError(
                    "INVALID_ARGUMENT",
                    "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                    "ModelConfigList is currently supported",
                )
            await self._configure(request.config)
            response = model_management_pb2.ReloadConfigResponse()
            response.status.SetInParent()
            return response

        response, _ = await answered(reload, model_management_pb2.ReloadConfigResponse, context)
        return response


def parses(record: logging.LogRecord) -> bool:
    """A filter for gRPC's log: a message that does not parse would write a traceback each time."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, DecodeError)


def describe_model_service() -> None:
    """Makes ModelService known to reflection.

    tensorflow-serving-api's own description, `model_service_pb2`, does not import under protobuf 4.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name="tensorflow_serving/apis/model_service.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[
            get_model_status_pb2.DESCRIPTOR.name,
            model_management_pb2.DESCRIPTOR.name,
        ],
    )
    file.options.cc_enable_arenas = True
    service = file.service.add(name="ModelService")
    for method, request, response in (
        ("GetModelStatus", "GetModelStatusRequest", "GetModelStatusResponse"),
        ("HandleReloadConfigRequest", "ReloadConfigRequest", "ReloadConfigResponse"),
    ):
        service.method.add(
            name=method,
            input_type=f".tensorflow.serving.{request}",
            output_type=f".tensorflow.serving.{response}",
        )
    descriptor_pool.Default().Add(file)  # type: ignore[no-untyped-call]


async def answered(
    answer: Callable[[], Awaitable[Response]], empty: type[Response], context: Any
) -> tuple[Response, str]:
    """The answer and the name of its status, which the context is told where it is an error."""
    try:
        return await answer(), "OK"
    except ServingError as error:
        code, text = error.code, str(error)
    except DecodeError as error:
        code, text = "INVALID_ARGUMENT", f"the message cannot be parsed: {error}"
    except Exception:
        # Whatever a request may bring about, its client is told no more than this.
        log.exception("a request failed unexpectedly")
        code, text = "INTERNAL", "internal error"
    context.set_code(_GRPC_CODES[code])
    context.set_details(text)
    return empty(), code


_GRPC_CODES = {code.name: code for code in grpc.StatusCode}
