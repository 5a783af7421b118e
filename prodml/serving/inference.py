"""The prediction and model APIs of TF Serving, whatever front end asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)

from prodml.errors import ServingError
from prodml.serving.execution import Runner
from prodml.serving.metrics import ServerMetrics
from prodml.serving.models import Models
from prodml.serving.request_log import RequestLog
from prodml.serving.results import classification_result, regression_result
from prodml.serving.signatures import (
    CLASSIFY_METHOD,
    DEFAULT_SIGNATURE,
    REGRESS_METHOD,
    Call,
    Signature,
    classification_tensors,
    examples_call,
    predict_call,
    regression_tensors,
)
from prodml.serving.status_codes import code_number
from prodml.serving.tensors import Array, to_content_proto, to_proto
from prodml.serving.versions import LoadedVersion, Version

_SIGNATURES = "signature_def"


@dataclass(frozen=True)
class InferenceOptions:
    """What requests may ask, and how answers look.

    Attributes:
        max_elements: how many elements a tensor in a request may claim to have.
        answer_as_content: whether Predict answers with bytes in `tensor_content`.
    """

    max_elements: int = 1 << 27
    answer_as_content: bool = False


class Inference:
    """Answers requests. Used on the event loop alone.

    Every method raises ServingError, with TF Serving's code and text, where the request or the
    model is at fault.

    Args:
        models: where versions are found.
        runner: runs their calls.
        metrics: where durations are counted.
        request_log: where samples of requests and answers go.
        options: what requests may ask.
    """

    def __init__(
        self,
        models: Models,
        runner: Runner,
        metrics: ServerMetrics,
        request_log: RequestLog,
        options: InferenceOptions,
    ) -> None:
        self._models = models
        self._runner = runner
        self._metrics = metrics
        self._request_log = request_log
        self._options = options

    async def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """The outputs of a signature for tensors by name."""
        version = self._find(request)
        signature = _signature(version, request.model_spec)
        if signature is None:
            raise ServingError(
                "FAILED_PRECONDITION",
                f'Serving signature key "{_signature_key(request.model_spec)}" not found.',
            )
        call = predict_call(signature, request, max_elements=self._options.max_elements)
        outputs = await self._run(version, call, "Predict")
        response = predict_pb2.PredictResponse()
        encode = to_content_proto if self._options.answer_as_content else to_proto
        for alias, output in outputs.items():
            response.outputs[alias].CopyFrom(encode(output))
        _fill_spec(response.model_spec, version, signature.key)
        self._request_log.offer(
            version.model,
            lambda: prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request, response=response)
            ),
        )
        return response

    async def classify(
        self, request: classification_pb2.ClassificationRequest
    ) -> classification_pb2.ClassificationResponse:
        """Labels and scores for tf.Examples, by a classification signature."""
        version = self._find(request)
        signature = _example_signature(version, request.model_spec)
        tensor, outputs = classification_tensors(signature)
        call = examples_call(tensor, outputs, request.input)
        found = await self._run(version, call, "Classify")
        response = classification_pb2.ClassificationResponse(
            result=classification_result(found, call.rows)
        )
        _fill_spec(response.model_spec, version, signature.key)
        self._request_log.offer(
            version.model,
            lambda: prediction_log_pb2.PredictionLog(
                classify_log=prediction_log_pb2.ClassifyLog(request=request, response=response)
            ),
        )
        return response

    async def regress(
        self, request: regression_pb2.RegressionRequest
    ) -> regression_pb2.RegressionResponse:
        """One value for each tf.Example, by a regression signature."""
        version = self._find(request)
        signature = _example_signature(version, request.model_spec)
        tensor, outputs = regression_tensors(signature)
        call = examples_call(tensor, outputs, request.input)
        (output,) = (await self._run(version, call, "Regress")).values()
        response = regression_pb2.RegressionResponse(result=regression_result(output, call.rows))
        _fill_spec(response.model_spec, version, signature.key)
        self._request_log.offer(
            version.model,
            lambda: prediction_log_pb2.PredictionLog(
                regress_log=prediction_log_pb2.RegressLog(request=request, response=response)
            ),
        )
        return response

    async def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest
    ) -> inference_pb2.MultiInferenceResponse:
        """Classifications and regressions of the same tf.Examples, in one call of the graph."""
        first = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        version = self._models.find(first)
        tasks = _tasks(version, request)
        tensors = dict.fromkeys(tensor for _, _, tensor, _ in tasks)
        if len(tensors) > 1:
            raise ServingError(
                "INVALID_ARGUMENT", "Input tensor must be the same for all Signatures."
            )
        # Tensors by their own names: two signatures may share one.
        fetched = {name: name for _, _, _, outputs in tasks for name in outputs.values()}
        call = examples_call(next(iter(tensors)), fetched, request.input)
        found = await self._run(version, call, "MultiInference")
        response = inference_pb2.MultiInferenceResponse()
        for method, signature, _, outputs in tasks:
            of_task = {alias: found[name] for alias, name in outputs.items()}
            result = response.results.add()
            _fill_spec(result.model_spec, version, signature.key)
            if method == CLASSIFY_METHOD:
                result.classification_result.CopyFrom(classification_result(of_task, call.rows))
            else:
                (output,) = of_task.values()
                result.regression_result.CopyFrom(regression_result(output, call.rows))
        self._request_log.offer(
            version.model,
            lambda: prediction_log_pb2.PredictionLog(
                multi_inference_log=prediction_log_pb2.MultiInferenceLog(
                    request=request, response=response
                )
            ),
        )
        return response

    def input_types(self, spec: model_pb2.ModelSpec) -> Mapping[str, int]:
        """The data type of each input of a signature, from TensorFlow's DataType."""
        version = self._models.find(spec)
        signature = _signature(version, spec)
        if signature is None:
            raise ServingError(
                "INVALID_ARGUMENT",
                f'Serving signature name: "{_signature_key(spec)}" not found in signature def',
            )
        return signature.input_types

    def model_metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """The signatures of a version."""
        if not request.HasField("model_spec"):
            raise ServingError("INVALID_ARGUMENT", "Missing ModelSpec")
        if not request.metadata_field:
            raise ServingError(
                "INVALID_ARGUMENT",
                "GetModelMetadataRequest must specify at least one metadata_field",
            )
        for field in request.metadata_field:
            if field != _SIGNATURES:
                raise ServingError("INVALID_ARGUMENT", f"Metadata field {field} is not supported")
        version = self._models.find(request.model_spec)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for key, signature in version.servable.signatures.items():
            signatures.signature_def[key].CopyFrom(signature)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.metadata[_SIGNATURES].Pack(signatures)
        _fill_spec(response.model_spec, version, "")
        return response

    def model_status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Where the versions of a model stand."""
        if not request.HasField("model_spec"):
            raise ServingError("INVALID_ARGUMENT", "Missing ModelSpec")
        name = request.model_spec.name
        versions = self._models.versions(name)
        # A label is ignored, as TF Serving ignores it.
        if request.model_spec.HasField("version"):
            number = request.model_spec.version.value
            versions = [version for version in versions if version.number == number]
            if not versions:
                raise ServingError("NOT_FOUND", f"Could not find version {number} of model {name}")
        if not versions:
            raise ServingError("NOT_FOUND", f"Could not find any versions of model {name}")
        return get_model_status_pb2.GetModelStatusResponse(
            model_version_status=[_status(version) for version in versions]
        )

    def _find(self, request: Any) -> LoadedVersion:
        if not request.HasField("model_spec"):
            raise ServingError("INVALID_ARGUMENT", "Missing ModelSpec")
        return self._models.find(request.model_spec)

    async def _run(self, version: LoadedVersion, call: Call, api: str) -> dict[str, Array]:
        started = time.perf_counter()
        outputs = await self._runner.run(version, call.feeds, call.fetches)
        self._metrics.runtime(version.model, api, time.perf_counter() - started)
        if call.rows:
            self._metrics.examples(version.model, call.rows)
        return dict(zip(call.aliases, outputs, strict=True))


def warm(version: LoadedVersion, log: prediction_log_pb2.PredictionLog) -> None:
    """Runs a recorded request on a version that does not answer yet. Blocks.

    Raises:
        ServingError: the version does not answer it.
    """
    kind = log.WhichOneof("log_type")
    request = getattr(log, kind).request
    for call in _warm_calls(version, kind, request):
        version.servable.run(call.feeds, call.fetches)


def _warm_calls(version: LoadedVersion, kind: str, request: Any) -> list[Call]:
    if kind == "predict_log":
        signature = _example_signature(version, request.model_spec)
        limit = InferenceOptions.max_elements
        return [predict_call(signature, request, max_elements=limit)]
    if kind == "multi_inference_log":
        return [
            examples_call(tensor, outputs, request.input)
            for _, _, tensor, outputs in _tasks(version, request)
        ]
    tensors_of: Mapping[str, Callable[[Signature], tuple[str, dict[str, str]]]] = {
        "classify_log": classification_tensors,
        "regress_log": regression_tensors,
    }
    if kind not in tensors_of:
        raise ServingError("UNIMPLEMENTED", f"Unsupported log_type for warmup: {kind}")
    tensor, outputs = tensors_of[kind](_example_signature(version, request.model_spec))
    return [examples_call(tensor, outputs, request.input)]


def _tasks(
    version: LoadedVersion, request: inference_pb2.MultiInferenceRequest
) -> list[tuple[str, Signature, str, dict[str, str]]]:
    """Method, signature, input tensor and output tensors of each task."""
    tasks, keys = [], set()
    for task in request.tasks:
        if not task.model_spec.name:
            raise ServingError("INVALID_ARGUMENT", "Found ModelSpec with an empty model name.")
        if task.model_spec.name != version.model:
            raise ServingError(
                "INVALID_ARGUMENT",
                "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
            )
        key = _signature_key(task.model_spec)
        if key in keys:
            raise ServingError("INVALID_ARGUMENT", f"Duplicate evaluation of signature: {key}")
        keys.add(key)
        signature = version.signatures.get(key)
        if signature is None:
            raise ServingError(
                "INVALID_ARGUMENT", f"Requested signature not found in model graph: {key}"
            )
        if task.method_name == CLASSIFY_METHOD:
            tensor, outputs = classification_tensors(signature)
        elif task.method_name == REGRESS_METHOD:
            tensor, outputs = regression_tensors(signature)
        else:
            raise ServingError(
                "UNIMPLEMENTED", f"Unsupported signature method_name: {task.method_name}"
            )
        tasks.append((task.method_name, signature, tensor, outputs))
    return tasks


def _signature_key(spec: model_pb2.ModelSpec) -> str:
    return spec.signature_name or DEFAULT_SIGNATURE


def _signature(version: LoadedVersion, spec: model_pb2.ModelSpec) -> Signature | None:
    return version.signatures.get(_signature_key(spec))


def _example_signature(version: LoadedVersion, spec: model_pb2.ModelSpec) -> Signature:
    signature = _signature(version, spec)
    if signature is None:
        raise ServingError(
            "INVALID_ARGUMENT", f"No signature was found with the name: {_signature_key(spec)}"
        )
    return signature


def _fill_spec(spec: model_pb2.ModelSpec, version: LoadedVersion, signature_key: str) -> None:
    spec.name = version.model
    spec.version.value = version.number
    spec.signature_name = signature_key


def _status(version: Version) -> get_model_status_pb2.ModelVersionStatus:
    status = get_model_status_pb2.ModelVersionStatus(
        version=version.number, state=version.state.value
    )
    if version.error is not None:
        status.status.error_code = code_number(version.error.code)
        status.status.error_message = str(version.error)
    else:
        status.status.SetInParent()
    return status
