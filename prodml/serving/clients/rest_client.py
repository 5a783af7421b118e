"""A REST client for model servers: prodml's and TF Serving."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import httpx
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2

from prodml.documents import parse_json
from prodml.errors import ConfigError, ServingError
from prodml.serving.clients.endpoint import ANSWER_SECONDS, Endpoint, TlsFiles
from prodml.serving.clients.grpc_messages import as_array
from prodml.serving.values.data_types import Array, string_array

_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""The status code of each HTTP code; if several map to one HTTP code, the most likely one."""


class RestClient:
    """Sends requests to a model server by REST. A thread-safe context manager.

    Every method raises ServingError with the server's text: UNAVAILABLE if the server is
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
        tls = self.endpoint.tls
        self._timeout = timeout_seconds
        self._signatures: dict[str, dict[str, meta_graph_pb2.SignatureDef]] = {}
        self._http = httpx.Client(
            base_url=f"{'https' if tls else 'http'}://{self.endpoint.address}/v1/models",
            timeout=timeout_seconds,
            verify=_ssl_context(tls) if tls else True,
            trust_env=not self.endpoint.is_loopback,
        )

    def __enter__(self) -> RestClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        version: int | None = None,
        label: str | None = None,
        signature: str = "",
    ) -> dict[str, Array]:
        """Computes the outputs of a signature; returns them by name, with the types in the model's
        metadata.

        Args:
            model: name of the model.
            inputs: arrays, or values that numpy converts to arrays, by name; strings as bytes or
                str.
            version: number of the version; the latest if neither version nor label is set.
            label: label of the version.
            signature: name of the signature; `serving_default` if empty.
        """
        path = _path(model, version, label)
        body: dict[str, Any] = {"inputs": {n: _plain(as_array(v)) for n, v in inputs.items()}}
        if signature:
            body["signature_name"] = signature
        answer = self._ask("POST", f"{path}:predict", body)
        outputs = answer.get("outputs")
        declared = self._declared(path, model, version, label, signature)
        if len(declared) == 1:
            # A single output has no name.
            outputs = {next(iter(declared)): outputs}
        if not isinstance(outputs, dict) or outputs.keys() - declared.keys():
            raise ServingError("INTERNAL", f"{self.endpoint.address} answered without outputs")
        return {name: _array(value, declared[name].dtype) for name, value in outputs.items()}

    def metadata(
        self, model: str, version: int | None = None, *, label: str | None = None
    ) -> dict[str, meta_graph_pb2.SignatureDef]:
        """Returns the signatures of a version by name."""
        answer = self._ask("GET", f"{_path(model, version, label)}/metadata")
        signatures = get_model_metadata_pb2.SignatureDefMap()
        try:
            document = dict(answer["metadata"]["signature_def"])
            document.pop("@type", None)
            json_format.ParseDict(document, signatures, ignore_unknown_fields=True)
        except (KeyError, TypeError, json_format.ParseError) as error:
            raise ServingError(
                "INTERNAL", f"{self.endpoint.address} answered without signatures: {error}"
            ) from error
        return dict(signatures.signature_def)

    def status(self, model: str, version: int | None = None) -> dict[int, str]:
        """Returns the state, such as AVAILABLE, of each version that the server knows, or of one
        version."""
        answer = self._ask("GET", _path(model, version, None))
        return {int(s["version"]): str(s["state"]) for s in answer["model_version_status"]}

    def _declared(
        self, path: str, model: str, version: int | None, label: str | None, signature: str
    ) -> Mapping[str, Any]:
        if path not in self._signatures:
            self._signatures[path] = self.metadata(model, version, label=label)
        found = self._signatures[path].get(signature or "serving_default")
        return {} if found is None else dict(found.outputs)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            response = self._http.request(
                method, path, content=None if body is None else json.dumps(body)
            )
        except httpx.TimeoutException as error:
            raise ServingError(
                "DEADLINE_EXCEEDED",
                f"{self.endpoint.address} has not answered in {self._timeout:g} s",
            ) from error
        except httpx.HTTPError as error:
            raise ServingError(
                "UNAVAILABLE", f"{self.endpoint.address} is unreachable: {error}"
            ) from error
        try:
            answer = parse_json(response.text)
        except ValueError:
            answer = None
        if response.status_code == 200 and isinstance(answer, dict):
            return answer
        message = answer.get("error") if isinstance(answer, dict) else None
        raise ServingError(
            _CODES.get(response.status_code, "UNKNOWN"),
            str(message or f"{self.endpoint.address} answered with HTTP {response.status_code}"),
        )


def _path(model: str, version: int | None, label: str | None) -> str:
    if version is not None and label is not None:
        raise ValueError("a version and a label exclude each other")
    if version is not None:
        return f"/{model}/versions/{version}"
    return f"/{model}" if label is None else f"/{model}/labels/{label}"


def _plain(array: Array) -> Any:
    if array.dtype != object:
        return array.tolist()
    encoded: Sequence[Any] = [
        {"b64": base64.b64encode(value).decode()} for value in array.ravel().tolist()
    ]
    holder = np.empty(len(encoded), object)
    holder[:] = encoded
    return holder.reshape(array.shape).tolist()


def _array(value: Any, dtype: int) -> Array:
    if dtype != types_pb2.DT_STRING:
        return np.asarray(value, tf.as_dtype(dtype).as_numpy_dtype)
    flat: list[bytes] = []
    shape = _gather(value, flat)
    return string_array(flat).reshape(shape)


def _gather(value: Any, flat: list[bytes]) -> list[int]:
    """Appends the strings of a nested list to `flat` and returns the list's shape."""
    if not isinstance(value, list):
        is_encoded = isinstance(value, dict)
        flat.append(base64.b64decode(value["b64"]) if is_encoded else str(value).encode())
        return []
    inner: list[int] = []
    for each in value:
        inner = _gather(each, flat)
    return [len(value), *inner]


def _ssl_context(tls: TlsFiles) -> ssl.SSLContext:
    try:
        tls.read()
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except ssl.SSLError as error:
        raise ConfigError(f"{tls.ca or tls.certificate}: not usable for TLS: {error}") from error
    return context
