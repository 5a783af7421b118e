"""A gRPC client for model servers: prodml's and TF Serving."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import grpc
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from prodml.errors import ServingError
from prodml.serving.clients.endpoint import ANSWER_SECONDS, Endpoint
from prodml.serving.clients.grpc_messages import (
    arrays,
    example_list,
    model_spec,
    predict_request,
)
from prodml.serving.values.data_types import Array
from prodml.serving.values.status_codes import code_name

State = get_model_status_pb2.ModelVersionStatus.State

_PROBE_SECONDS = 0.25
"""Time limit of one status request to a server that does not answer, before `check` is called."""
_PAUSE_SECONDS = 0.02
_NOT_YET = ("NOT_FOUND", "FAILED_PRECONDITION", "UNAVAILABLE", "DEADLINE_EXCEEDED")
"""Status codes while the server, the model, the version or the label is not available yet."""
_CHANNEL = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # gRPC's default first backoff is a second: too long for a server that is about to listen.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Otherwise a client of a server that was restarted on the same port may get the old connection.
    ("grpc.use_local_subchannel_pool", 1),
)


class GrpcClient:
    """Sends requests to a model server by gRPC. A thread-safe context manager.

    Every method raises ServingError with the server's code and text: UNAVAILABLE if the server is
    unreachable, DEADLINE_EXCEEDED if it does not answer in time.

    Args:
        endpoint: the server; a string is `host:port` without TLS.
        timeout_seconds: time limit for an answer.

    Raises:
        ConfigError: the address or a TLS file is invalid.
    """

    def __init__(self, endpoint: Endpoint | str, timeout_seconds: float = ANSWER_SECONDS) -> None:
        self.endpoint = Endpoint(endpoint) if isinstance(endpoint, str) else endpoint
        self.endpoint.check()
        self._timeout = timeout_seconds
        self._channel = _channel(self.endpoint)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def __enter__(self) -> GrpcClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        version: int | None = None,
        label: str | None = None,
        signature: str = "",
        outputs: Sequence[str] = (),
    ) -> dict[str, Array]:
        """Computes the outputs of a signature; returns them by name.

        Args:
            model: name of the model.
            inputs: arrays, or values that numpy converts to arrays, by name; strings as bytes or
                str.
            version: number of the version; the latest if neither version nor label is set.
            label: label of the version.
            signature: name of the signature; `serving_default` if empty.
            outputs: names of the outputs to compute; all if empty.
        """
        request = predict_request(
            model, inputs, version=version, label=label, signature=signature, outputs=outputs
        )
        return arrays(self.predict_proto(request))

    def predict_proto(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """The answer to a request as it is."""
        return self._call(self._predictions.Predict, request)

    def classify(
        self,
        model: str,
        examples: Sequence[bytes],
        *,
        version: int | None = None,
        label: str | None = None,
        signature: str = "",
    ) -> classification_pb2.ClassificationResult:
        """Classifies serialized tf.Examples."""
        request = classification_pb2.ClassificationRequest(
            model_spec=model_spec(model, version, label, signature), input=example_list(examples)
        )
        return self.classify_proto(request).result

    def classify_proto(
        self, request: classification_pb2.ClassificationRequest
    ) -> classification_pb2.ClassificationResponse:
        """The answer to a request as it is."""
        return self._call(self._predictions.Classify, request)

    def regress(
        self,
        model: str,
        examples: Sequence[bytes],
        *,
        version: int | None = None,
        label: str | None = None,
        signature: str = "",
    ) -> list[float]:
        """Computes one value per serialized tf.Example."""
        request = regression_pb2.RegressionRequest(
            model_spec=model_spec(model, version, label, signature), input=example_list(examples)
        )
        return [regression.value for regression in self.regress_proto(request).result.regressions]

    def regress_proto(
        self, request: regression_pb2.RegressionRequest
    ) -> regression_pb2.RegressionResponse:
        """The answer to a request as it is."""
        return self._call(self._predictions.Regress, request)

    def metadata(
        self, model: str, version: int | None = None, *, label: str | None = None
    ) -> dict[str, meta_graph_pb2.SignatureDef]:
        """Returns the signatures of a version by name."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=model_spec(model, version, label), metadata_field=["signature_def"]
        )
        response = self._call(self._predictions.GetModelMetadata, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return dict(signatures.signature_def)

    def status(
        self, model: str, version: int | None = None
    ) -> dict[int, get_model_status_pb2.ModelVersionStatus]:
        """Returns the state of each version that the server knows, or of one version."""
        return self._status(model, version, self._timeout)

    def reload_config(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Makes the server serve the models in a config, and no others.

        Whether it returns before the new versions are loaded depends on the server: call
        `wait_until_available`.
        """
        request = model_management_pb2.ReloadConfigRequest(config=config)
        status = self._call(self._models.HandleReloadConfigRequest, request).status
        if status.error_code:
            raise ServingError(code_name(status.error_code), status.error_message)

    def wait_until_available(
        self,
        model: str,
        version: int | None = None,
        timeout_seconds: float = 60.0,
        *,
        check: Callable[[], None] = lambda: None,
    ) -> int:
        """Waits until a version is available.

        Args:
            model: name of the model.
            version: number of the version; by default the highest one that the server knows.
            timeout_seconds: how long to wait, also for the server to start.
            check: called between status requests; an error that it raises ends the wait.

        Returns:
            The number of the available version.

        Raises:
            ServingError: the server's error, immediately, if the version failed to load;
                DEADLINE_EXCEEDED with the last state after the timeout.
        """
        deadline = time.monotonic() + timeout_seconds
        last = "the server does not answer"
        while (left := deadline - time.monotonic()) > 0:
            check()
            try:
                found = self._status(model, version, min(left, _PROBE_SECONDS), wait=True)
            except ServingError as error:
                if error.code not in _NOT_YET:
                    raise
                if error.code != "DEADLINE_EXCEEDED":
                    last = str(error)
            else:
                if found:
                    newest = found[max(found)]
                    if newest.state == State.AVAILABLE:
                        return int(newest.version)
                    if newest.state == State.END and newest.status.error_code:
                        raise ServingError(
                            code_name(newest.status.error_code), newest.status.error_message
                        )
                    last = f"version {newest.version} is in state {State.Name(newest.state)}"
                    if newest.status.error_message:
                        last += f": {newest.status.error_message}"
            time.sleep(min(_PAUSE_SECONDS, max(0.0, deadline - time.monotonic())))
        check()
        raise ServingError(
            "DEADLINE_EXCEEDED",
            f"model {model!r} is not available after {timeout_seconds:g} s: {last}",
        )

    def _status(
        self,
        model: str,
        version: int | None,
        timeout: float,
        *,
        wait: bool = False,
    ) -> dict[int, get_model_status_pb2.ModelVersionStatus]:
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=model_spec(model, version))
        response = self._call(self._models.GetModelStatus, request, timeout=timeout, wait=wait)
        return {each.version: each for each in response.model_version_status}

    def _call(
        self, method: Any, request: Any, *, timeout: float | None = None, wait: bool = False
    ) -> Any:
        try:
            return method(request, timeout=timeout or self._timeout, wait_for_ready=wait)
        except grpc.RpcError as error:
            raise ServingError(error.code().name, error.details() or "") from error


def _channel(endpoint: Endpoint) -> grpc.Channel:
    options = [*_CHANNEL, ("grpc.enable_http_proxy", 0 if endpoint.is_loopback else 1)]
    if endpoint.tls is None:
        return grpc.insecure_channel(endpoint.address, options)
    ca, key, certificate = endpoint.tls.read()
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    return grpc.secure_channel(endpoint.address, credentials, options)
