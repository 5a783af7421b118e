"""The gRPC front end: TF Serving's PredictionService."""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import grpc
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from prodml.errors import ServingError
from prodml.serving.calls.admission import Admission, Admitted
from prodml.serving.calls.execution import Result, run_in_thread
from prodml.serving.calls.inference import Answer, Inference
from prodml.serving.calls.responses import (
    classification_response,
    classify_log,
    multi_inference_log,
    multi_inference_response,
    predict_log,
    predict_response,
    regress_log,
    regression_response,
)
from prodml.serving.grpc_api.grpc_answers import (
    SMALL_MESSAGE,
    Context,
    check_small,
    respond,
    serialized,
)
from prodml.serving.grpc_api.large_requests import read_examples_request, read_predict_request
from prodml.serving.grpc_api.large_responses import write_predict_response
from prodml.serving.observation.metrics import ServerMetrics
from prodml.serving.values.data_types import Array, is_large
from prodml.serving.values.signatures import serialized_examples
from prodml.serving.values.tensors import Filled

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"

_THREADS = 2
_Method: TypeAlias = "Callable[[_Call], Awaitable[bytes]]"


class PredictionService:
    """Serves Predict, Classify, Regress and MultiInference, and the metadata of models.

    The handler gets and returns bytes, so that large messages are parsed and serialized in threads.

    Args:
        inference: answers the requests.
        metrics: counts the requests.
        admission: limits the requests.
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
        """Returns the handler to add to a gRPC server."""
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
        """Waits for the messages that are being parsed or serialized."""
        self._pool.shutdown()

    async def _answer(self, api: str, method: _Method, message: bytes, context: Context) -> bytes:
        started = time.perf_counter()
        call = _Call(message)

        async def answer() -> bytes:
            with self._admission.request() as admitted:
                admitted.hold(len(message))
                call.admitted = admitted
                return await method(call)

        response, status = await respond(answer, context)
        self._metrics.request(
            call.model,
            api,
            "GRPC",
            status,
            time.perf_counter() - started,
            is_served=self._inference.serves(call.model),
        )
        return response

    async def _predict(self, call: _Call) -> bytes:
        message = call.message
        inputs: Mapping[str, tensor_pb2.TensorProto | Array]
        if len(message) <= SMALL_MESSAGE:
            request = predict_pb2.PredictRequest.FromString(message)
            inputs, filled = request.inputs, Filled(call.admitted.hold)
        else:
            filled = Filled()
            request, inputs = await self._in_thread(lambda: read_predict_request(message, filled))
            call.admitted.hold(filled.size)
        call.check(request)
        answer = await self._inference.predict(
            request.model_spec, inputs, request.output_filter, filled
        )
        if len(message) <= SMALL_MESSAGE and not any(map(is_large, answer.outputs.values())):
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
        check_small(call.message)
        request = get_model_metadata_pb2.GetModelMetadataRequest.FromString(call.message)
        call.model = request.model_spec.name
        return serialized(self._inference.model_metadata(request))

    async def _read(self, kind: Any, call: _Call) -> tuple[Any, list[bytes]]:
        """Parses a request with examples; returns it and its serialized examples."""
        message = call.message
        if len(message) <= SMALL_MESSAGE:
            request = kind.FromString(message)
            examples = serialized_examples(request.input)
        else:
            request, examples = await self._in_thread(lambda: read_examples_request(kind, message))
        # With the shared context, the examples may be far larger than the message.
        call.admitted.hold_at_least(sum(map(len, examples)))
        return request, examples

    async def _write(self, write: Callable[[], bytes], answers: Sequence[Answer]) -> bytes:
        outputs = (output for answer in answers for output in answer.outputs.values())
        return await self._in_thread(write) if any(map(is_large, outputs)) else write()

    def _in_thread(self, work: Callable[[], Result]) -> Awaitable[Result]:
        return run_in_thread(self._pool, work)


class _Call:
    """One request, with the name of its model once parsed, and its admission once granted."""

    __slots__ = ("admitted", "message", "model")

    admitted: Admitted

    def __init__(self, message: bytes) -> None:
        self.message = message
        self.model = ""

    def check(self, request: Any) -> None:
        """Stores the name of the model.

        Raises:
            ServingError: the request has no ModelSpec.
        """
        if not request.HasField("model_spec"):
            raise ServingError("INVALID_ARGUMENT", "Missing ModelSpec")
        self.model = request.model_spec.name
