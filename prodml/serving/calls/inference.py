"""TF Serving's prediction and model APIs, independent of the front end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_pb2,
    prediction_log_pb2,
)

from prodml.errors import ServingError
from prodml.serving.calls.execution import Runner
from prodml.serving.models.model_catalog import Models
from prodml.serving.models.model_version import LoadedVersion, Version
from prodml.serving.observation.metrics import ServerMetrics
from prodml.serving.observation.request_log import RequestLog
from prodml.serving.values.classifications import check_classification, check_regression
from prodml.serving.values.data_types import Array
from prodml.serving.values.signatures import (
    CLASSIFY_METHOD,
    DEFAULT_SIGNATURE,
    REGRESS_METHOD,
    Call,
    Signature,
    classification_tensors,
    examples_call,
    predict_call,
    regression_tensors,
    serialized_examples,
)
from prodml.serving.values.status_codes import code_number
from prodml.serving.values.tensors import Filled

_SIGNATURES = "signature_def"


@dataclass(frozen=True)
class Answer:
    """The outputs that a version computed for a request.

    Attributes:
        model: name of the model.
        version: number of the version.
        signature: key of the signature that ran.
        outputs: the outputs by alias.
        rows: number of examples, if the request carries examples.
    """

    model: str
    version: int
    signature: str
    outputs: Mapping[str, Array]
    rows: int = 0


class Inference:
    """Answers requests. Use it on the event loop only.

    Every method raises ServingError, with TF Serving's code and text, if the request is invalid or
    the model fails.

    Args:
        models: finds the versions.
        runner: runs their calls.
        metrics: records durations.
        request_log: stores samples of requests and answers.
    """

    def __init__(
        self,
        models: Models,
        runner: Runner,
        metrics: ServerMetrics,
        request_log: RequestLog,
    ) -> None:
        self._models = models
        self._runner = runner
        self._metrics = metrics
        self._request_log = request_log

    async def predict(
        self,
        spec: model_pb2.ModelSpec,
        inputs: Mapping[str, tensor_pb2.TensorProto | Array],
        output_filter: Sequence[str] = (),
        filled: Filled | None = None,
    ) -> Answer:
        """Computes the outputs of a signature from named tensors.

        Args:
            spec: model, version or label, and signature.
            inputs: the inputs by alias.
            output_filter: aliases of the outputs to compute; empty for all.
            filled: counts the values that inputs declare by their shape but do not contain.
        """
        version = self._models.find(spec)
        signature = _signature(version, spec)
        if signature is None:
            raise ServingError(
                "FAILED_PRECONDITION",
                f'Serving signature key "{_signature_key(spec)}" not found.',
            )
        call = predict_call(signature, inputs, output_filter, filled)
        outputs = await self._run(version, call, "Predict")
        return Answer(version.model, version.number, signature.key, outputs)

    async def classify(self, spec: model_pb2.ModelSpec, examples: Sequence[bytes]) -> Answer:
        """Computes labels and scores of serialized tf.Examples by a classification signature."""
        version = self._models.find(spec)
        signature = _example_signature(version, spec)
        tensor, outputs = classification_tensors(signature)
        call = examples_call(tensor, outputs, examples)
        found = await self._run(version, call, "Classify")
        check_classification(found, call.rows)
        return Answer(version.model, version.number, signature.key, found, call.rows)

    async def regress(self, spec: model_pb2.ModelSpec, examples: Sequence[bytes]) -> Answer:
        """Computes one value per serialized tf.Example by a regression signature."""
        version = self._models.find(spec)
        signature = _example_signature(version, spec)
        tensor, outputs = regression_tensors(signature)
        call = examples_call(tensor, outputs, examples)
        found = await self._run(version, call, "Regress")
        check_regression(found, call.rows)
        return Answer(version.model, version.number, signature.key, found, call.rows)

    async def multi_inference(
        self, requested: Sequence[inference_pb2.InferenceTask], examples: Sequence[bytes]
    ) -> list[Answer]:
        """Classifies and regresses the same tf.Examples in one call of the graph.

        Returns:
            One answer per task, in the same order.
        """
        version = self._models.find(requested[0].model_spec if requested else model_pb2.ModelSpec())
        tasks = _tasks(version, requested)
        tensors = dict.fromkeys(tensor for _, _, tensor, _ in tasks)
        if len(tensors) > 1:
            raise ServingError(
                "INVALID_ARGUMENT", "Input tensor must be the same for all Signatures."
            )
        # Keyed by tensor name, because two signatures may share a tensor.
        fetched = {name: name for _, _, _, outputs in tasks for name in outputs.values()}
        call = examples_call(next(iter(tensors)), fetched, examples)
        found = await self._run(version, call, "MultiInference")
        answers = []
        for method, signature, _, outputs in tasks:
            of_task = {alias: found[name] for alias, name in outputs.items()}
            check = check_classification if method == CLASSIFY_METHOD else check_regression
            check(of_task, call.rows)
            answers.append(Answer(version.model, version.number, signature.key, of_task, call.rows))
        return answers

    def serves(self, model: str) -> bool:
        """Whether a model is configured, even if none of its versions is available."""
        return self._models.serves(model)

    def log(self, model: str, record: Callable[[], prediction_log_pb2.PredictionLog]) -> None:
        """Offers a request and its answer to the request log. Can be called from any thread.

        Args:
            model: name of the model.
            record: returns the record; called only if the request is sampled.
        """
        self._request_log.offer(model, record)

    def input_types(self, spec: model_pb2.ModelSpec) -> dict[str, Mapping[str, int]]:
        """Returns the data types of a version's inputs: DataType numbers by signature and alias."""
        signatures = self._models.find(spec).signatures
        return {key: signature.input_types for key, signature in signatures.items()}

    def model_metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Returns the signatures of a version."""
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
        for key, signature in version.servable.signature_defs.items():
            signatures.signature_def[key].CopyFrom(signature)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.metadata[_SIGNATURES].Pack(signatures)
        response.model_spec.name = version.model
        response.model_spec.version.value = version.number
        return response

    def model_status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Returns the states of a model's versions."""
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

    async def _run(self, version: LoadedVersion, call: Call, api: str) -> dict[str, Array]:
        started = time.perf_counter()
        outputs = await self._runner.run(version, call.feeds, call.fetches)
        self._metrics.runtime(version.model, api, time.perf_counter() - started)
        if call.rows:
            self._metrics.examples(version.model, call.rows)
        return dict(zip(call.aliases, outputs, strict=True))


def warm(version: LoadedVersion, log: prediction_log_pb2.PredictionLog) -> None:
    """Runs a recorded request on a version that is not available yet. Blocks.

    Raises:
        ServingError: the version fails on the request.
    """
    kind = log.WhichOneof("log_type")
    request = getattr(log, kind).request
    for call in _warm_calls(version, kind, request):
        version.servable.run(call.feeds, call.fetches)


def _warm_calls(version: LoadedVersion, kind: str, request: Any) -> list[Call]:
    if kind == "predict_log":
        signature = _example_signature(version, request.model_spec)
        return [predict_call(signature, request.inputs, request.output_filter)]
    if kind == "multi_inference_log":
        examples = serialized_examples(request.input)
        return [
            examples_call(tensor, outputs, examples)
            for _, _, tensor, outputs in _tasks(version, request.tasks)
        ]
    tensors_of: Mapping[str, Callable[[Signature], tuple[str, dict[str, str]]]] = {
        "classify_log": classification_tensors,
        "regress_log": regression_tensors,
    }
    if kind not in tensors_of:
        raise ServingError("UNIMPLEMENTED", f"Unsupported log_type for warmup: {kind}")
    tensor, outputs = tensors_of[kind](_example_signature(version, request.model_spec))
    return [examples_call(tensor, outputs, serialized_examples(request.input))]


def _tasks(
    version: LoadedVersion, requested: Sequence[inference_pb2.InferenceTask]
) -> list[tuple[str, Signature, str, dict[str, str]]]:
    """Returns method, signature, input tensor and output tensors of each task."""
    tasks, keys = [], set()
    for task in requested:
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
