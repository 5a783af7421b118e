"""Writes the records of REST requests for the request log and for warm-up."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    model_pb2,
    prediction_log_pb2,
    regression_pb2,
)

from prodml.serving.calls import responses
from prodml.serving.calls.inference import Answer
from prodml.serving.rest_api.json_predict_requests import PredictBody


def predict_log(
    spec: model_pb2.ModelSpec, parsed: PredictBody, answer: Answer
) -> prediction_log_pb2.PredictionLog:
    return responses.predict_log(responses.predict_request(spec, parsed.inputs), answer)


def classify_log(
    spec: model_pb2.ModelSpec, examples: Sequence[bytes], answer: Answer
) -> prediction_log_pb2.PredictionLog:
    request = classification_pb2.ClassificationRequest(model_spec=spec)
    request.input.example_list.examples.extend(map(tf.train.Example.FromString, examples))
    return responses.classify_log(request, answer)


def regress_log(
    spec: model_pb2.ModelSpec, examples: Sequence[bytes], answer: Answer
) -> prediction_log_pb2.PredictionLog:
    request = regression_pb2.RegressionRequest(model_spec=spec)
    request.input.example_list.examples.extend(map(tf.train.Example.FromString, examples))
    return responses.regress_log(request, answer)
