"""The gRPC front end: TF Serving's PredictionService and ModelService."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from prodml.errors import ServingError
from prodml.serving.inference import Inference
from prodml.serving.metrics import ServerMetrics

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"

Context: TypeAlias = Any
"""A `grpc.aio.ServicerContext`."""
Response = TypeVar("Response")
Configure = Callable[[model_server_config_pb2.ModelServerConfig], Awaitable[None]]

log = logging.getLogger(__name__)


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    """Predict and its kin, and the metadata of models."""

    def __init__(self, inference: Inference, metrics: ServerMetrics) -> None:
        self._inference = inference
        self._metrics = metrics

    async def Predict(
        self, request: predict_pb2.PredictRequest, context: Context
    ) -> predict_pb2.PredictResponse:
        return await self._answer(
            self._inference.predict, request, predict_pb2.PredictResponse, context, "Predict"
        )

    async def Classify(
        self, request: classification_pb2.ClassificationRequest, context: Context
    ) -> classification_pb2.ClassificationResponse:
        return await self._answer(
            self._inference.classify,
            request,
            classification_pb2.ClassificationResponse,
            context,
            "Classify",
        )

    async def Regress(
        self, request: regression_pb2.RegressionRequest, context: Context
    ) -> regression_pb2.RegressionResponse:
        return await self._answer(
            self._inference.regress, request, regression_pb2.RegressionResponse, context, "Regress"
        )

    async def MultiInference(
        self, request: inference_pb2.MultiInferenceRequest, context: Context
    ) -> inference_pb2.MultiInferenceResponse:
        started = time.perf_counter()
        spec = request.tasks[0].model_spec if request.tasks else None
        response, status = await answered(
            lambda: self._inference.multi_inference(request),
            inference_pb2.MultiInferenceResponse,
            context,
        )
        self._count(spec.name if spec else "", "MultiInference", status, started)
        return response

    async def GetModelMetadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: Context
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        async def metadata(
            asked: get_model_metadata_pb2.GetModelMetadataRequest,
        ) -> get_model_metadata_pb2.GetModelMetadataResponse:
            return self._inference.model_metadata(asked)

        return await self._answer(
            metadata,
            request,
            get_model_metadata_pb2.GetModelMetadataResponse,
            context,
            "GetModelMetadata",
        )

    async def _answer(
        self,
        method: Callable[[Any], Awaitable[Response]],
        request: Any,
        empty: type[Response],
        context: Context,
        api: str,
    ) -> Response:
        started = time.perf_counter()
        response, status = await answered(lambda: method(request), empty, context)
        self._count(request.model_spec.name, api, status, started)
        return response

    def _count(self, model: str, api: str, status: str, started: float) -> None:
        self._metrics.request(model, api, "GRPC", status, time.perf_counter() - started)


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
    except Exception:
        # Whatever a request may bring about, its client is told no more than this.
        log.exception("a request failed unexpectedly")
        code, text = "INTERNAL", "internal error"
    context.set_code(_GRPC_CODES[code])
    context.set_details(text)
    return empty(), code


_GRPC_CODES = {code.name: code for code in grpc.StatusCode}
