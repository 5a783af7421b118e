"""Checks a model's outputs for the Classify and Regress APIs, and converts them to results."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import classification_pb2, regression_pb2

from prodml.errors import ServingError
from prodml.serving.values.data_types import Array
from prodml.serving.values.signatures import CLASSIFY_CLASSES, CLASSIFY_SCORES
from prodml.serving.values.tensors import type_number


def check_classification(outputs: Mapping[str, Array], rows: int) -> None:
    """Checks the outputs of a classification.

    Args:
        outputs: `classes` (strings), `scores` (float32) or both, of shape [rows, classes].
        rows: number of examples in the request.

    Raises:
        ServingError: the outputs do not have these shapes and types.
    """
    classes, scores = outputs.get(CLASSIFY_CLASSES), outputs.get(CLASSIFY_SCORES)
    if classes is not None:
        _check_labels_or_scores(classes, "classes", types_pb2.DT_STRING, rows)
    if scores is not None:
        _check_labels_or_scores(scores, "scores", types_pb2.DT_FLOAT, rows)
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. "
            f"{scores.shape[1]}",
        )


def classification_result(
    outputs: Mapping[str, Array], rows: int
) -> classification_pb2.ClassificationResult:
    """Converts checked outputs to the labels and scores of every class, row by row."""
    classes, scores = outputs.get(CLASSIFY_CLASSES), outputs.get(CLASSIFY_SCORES)
    result = classification_pb2.ClassificationResult()
    labels_of_rows = classes.tolist() if classes is not None else None
    scores_of_rows = scores.tolist() if scores is not None else None
    for row in range(rows):
        found = result.classifications.add().classes
        labels = labels_of_rows[row] if labels_of_rows else None
        values = scores_of_rows[row] if scores_of_rows else None
        for index in range(len(labels if labels is not None else values or ())):
            found.add(
                label=_text(labels[index]) if labels is not None else "",
                score=values[index] if values is not None else 0.0,
            )
    return result


def check_regression(outputs: Mapping[str, Array], rows: int) -> None:
    """Checks the output of a regression.

    Args:
        outputs: one output, float32 of shape [rows] or [rows, 1].
        rows: number of examples in the request.

    Raises:
        ServingError: the output does not have this shape and type.
    """
    (output,) = outputs.values()
    if not (output.ndim == 1 or (output.ndim == 2 and output.shape[1] == 1)):
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{_shape(output)}",
        )
    if output.shape[0] != rows:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Input batch size did not match output batch size: {rows} vs. {output.shape[0]}",
        )
    if output.dtype != np.float32:
        raise ServingError(
            "INVALID_ARGUMENT", f"Expected output Tensor of DT_FLOAT.  Got: {_type_name(output)}"
        )


def regression_result(outputs: Mapping[str, Array]) -> regression_pb2.RegressionResult:
    """Converts a checked output to one value per row."""
    (output,) = outputs.values()
    result = regression_pb2.RegressionResult()
    for value in output.ravel().tolist():
        result.regressions.add(value=value)
    return result


def _check_labels_or_scores(tensor: Array, name: str, kind: int, rows: int) -> None:
    if tensor.ndim != 2:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Expected Tensor shape: [batch_size num_classes] but got {_shape(tensor)}",
        )
    if type_number(tensor) != kind:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Expected {name} Tensor of {types_pb2.DataType.Name(kind)}. Got: {_type_name(tensor)}",
        )
    if tensor.shape[0] != rows:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Expected {name} output batch size of {rows}. Got: {tensor.shape[0]}",
        )


def _text(label: bytes) -> str:
    # A label is a protobuf string, so it must be text; TensorFlow's strings are bytes.
    return label.decode("utf-8", errors="replace")


def _shape(tensor: Array) -> str:
    return f"[{','.join(map(str, tensor.shape))}]"


def _type_name(tensor: Array) -> str:
    return str(types_pb2.DataType.Name(type_number(tensor)))
