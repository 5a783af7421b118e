"""The gRPC front end: TF Serving's ModelService."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2
from tensorflow_serving.config import model_server_config_pb2

from prodml.errors import ServingError
from prodml.serving.calls.inference import Inference
from prodml.serving.grpc_api.grpc_answers import Context, check_small, respond, serialized

MODEL_SERVICE = "tensorflow.serving.ModelService"
_LARGEST_CONFIG = 1 << 20
"""Maximum bytes of a config: about ten thousand models."""

Configure = Callable[[model_server_config_pb2.ModelServerConfig], Awaitable[None]]


class ModelService:
    """Reports the state of models, and reloads the config.

    Args:
        inference: reports the state of models.
        configure: replaces the config.
    """

    def __init__(self, inference: Inference, configure: Configure) -> None:
        self._inference = inference
        self._configure = configure

    def handler(self) -> grpc.GenericRpcHandler:
        """Returns the handler to add to a gRPC server."""
        methods = {
            "GetModelStatus": self._model_status,
            "HandleReloadConfigRequest": self._reload_config,
        }
        return grpc.method_handlers_generic_handler(
            MODEL_SERVICE,
            {
                name: grpc.unary_unary_rpc_method_handler(functools.partial(self._answer, method))
                for name, method in methods.items()
            },
        )

    async def _answer(
        self, method: Callable[[bytes], Awaitable[bytes]], message: bytes, context: Context
    ) -> bytes:
        response, _ = await respond(lambda: method(message), context)
        return response

    async def _model_status(self, message: bytes) -> bytes:
        check_small(message)
        request = get_model_status_pb2.GetModelStatusRequest.FromString(message)
        return serialized(self._inference.model_status(request))

    async def _reload_config(self, message: bytes) -> bytes:
        check_small(message, _LARGEST_CONFIG)
        request = model_management_pb2.ReloadConfigRequest.FromString(message)
        if request.config.WhichOneof("config") != "model_config_list":
            raise ServingError(
                "INVALID_ARGUMENT",
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                "ModelConfigList is currently supported",
            )
        await self._configure(request.config)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return serialized(response)


def describe_model_service() -> None:
    """Registers the descriptor of ModelService for reflection.

    The descriptor in tensorflow-serving-api, `model_service_pb2`, does not import with protobuf 4.
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
