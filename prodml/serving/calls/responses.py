"""Convert answers to TF Serving's response messages and to records of the request log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)

from prodml.serving.calls.inference import Answer
from prodml.serving.values.classifications import classification_result, regression_result
from prodml.serving.values.data_types import Array
from prodml.serving.values.signatures import CLASSIFY_METHOD
from prodml.serving.values.tensors import fill_proto, to_content_proto


def predict_response(answer: Answer, *, as_content: bool = False) -> predict_pb2.PredictResponse:
    """Returns the response to a Predict request.

    Args:
        answer: the answer to the request.
        as_content: whether values are bytes in `tensor_content`, not in the field of their type.
    """
    response = predict_pb2.PredictResponse()
    for alias, output in answer.outputs.items():
        if as_content:
            response.outputs[alias].CopyFrom(to_content_proto(output))
        else:
            fill_proto(response.outputs[alias], output)
    fill_spec(response.model_spec, answer)
    return response


def classification_response(answer: Answer) -> classification_pb2.ClassificationResponse:
    """Returns the response to a Classify request: labels and scores."""
    response = classification_pb2.ClassificationResponse(
        result=classification_result(answer.outputs, answer.rows)
    )
    fill_spec(response.model_spec, answer)
    return response


def regression_response(answer: Answer) -> regression_pb2.RegressionResponse:
    """Returns the response to a Regress request: one value per example."""
    response = regression_pb2.RegressionResponse(result=regression_result(answer.outputs))
    fill_spec(response.model_spec, answer)
    return response


def multi_inference_response(
    tasks: Sequence[inference_pb2.InferenceTask], answers: Sequence[Answer]
) -> inference_pb2.MultiInferenceResponse:
    """Returns the response to a MultiInference request: one result per task."""
    response = inference_pb2.MultiInferenceResponse()
    for task, answer in zip(tasks, answers, strict=True):
        result = response.results.add()
        fill_spec(result.model_spec, answer)
        if task.method_name == CLASSIFY_METHOD:
            result.classification_result.CopyFrom(
                classification_result(answer.outputs, answer.rows)
            )
        else:
            result.regression_result.CopyFrom(regression_result(answer.outputs))
    return response


def predict_request(
    spec: model_pb2.ModelSpec, inputs: Mapping[str, Array]
) -> predict_pb2.PredictRequest:
    """Returns the gRPC request that is equivalent to a REST request."""
    request = predict_pb2.PredictRequest(model_spec=spec)
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(to_content_proto(value))
    return request


def predict_log(
    request: predict_pb2.PredictRequest, answer: Answer
) -> prediction_log_pb2.PredictionLog:
    """Returns the record of a Predict request and its answer."""
    return prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(
            request=request, response=predict_response(answer)
        )
    )


def classify_log(
    request: classification_pb2.ClassificationRequest, answer: Answer
) -> prediction_log_pb2.PredictionLog:
    """Returns the record of a Classify request and its answer."""
    return prediction_log_pb2.PredictionLog(
        classify_log=prediction_log_pb2.ClassifyLog(
            request=request, response=classification_response(answer)
        )
    )


def regress_log(
    request: regression_pb2.RegressionRequest, answer: Answer
) -> prediction_log_pb2.PredictionLog:
    """Returns the record of a Regress request and its answer."""
    return prediction_log_pb2.PredictionLog(
        regress_log=prediction_log_pb2.RegressLog(
            request=request, response=regression_response(answer)
        )
    )


def multi_inference_log(
    request: inference_pb2.MultiInferenceRequest, answers: Sequence[Answer]
) -> prediction_log_pb2.PredictionLog:
    """Returns the record of a MultiInference request and its answer."""
    return prediction_log_pb2.PredictionLog(
        multi_inference_log=prediction_log_pb2.MultiInferenceLog(
            request=request, response=multi_inference_response(request.tasks, answers)
        )
    )


def fill_spec(spec: model_pb2.ModelSpec, answer: Answer) -> None:
    """Writes the model, version and signature that answered into a ModelSpec."""
    spec.name = answer.model
    spec.version.value = answer.version
    spec.signature_name = answer.signature
