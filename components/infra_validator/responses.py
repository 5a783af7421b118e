"""Checks whether a model's response matches its signature."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import prediction_log_pb2

from prodml.serving.clients.grpc_messages import arrays
from prodml.serving.values.data_types import Array


def response_problem(
    log: prediction_log_pb2.PredictionLog, signature: meta_graph_pb2.SignatureDef, rows: int
) -> str | None:
    """Describes what is wrong with a response; None if it is valid.

    Args:
        log: the request with its response.
        signature: the signature that was called.
        rows: number of rows in the request.
    """
    kind = log.WhichOneof("log_type")
    if kind == "classify_log":
        classified = log.classify_log.response.result.classifications
        scores = [c.score for each in classified for c in each.classes]
        return _of_values(np.array(scores), len(classified), rows)
    if kind == "regress_log":
        regressions = log.regress_log.response.result.regressions
        values = np.array([regression.value for regression in regressions])
        return _of_values(values, len(regressions), rows)
    outputs = arrays(log.predict_log.response)
    for name, info in sorted(signature.outputs.items()):
        if name not in outputs:
            return f"output {name!r} is missing"
        wrong = _of_shape(outputs[name], info, rows) or _of_numbers(outputs[name])
        if wrong is not None:
            return f"output {name!r} {wrong}"
    return None


def _of_values(values: Array, results: int, rows: int) -> str | None:
    if results != rows:
        return f"{results} results for {rows} rows"
    wrong = _of_numbers(values)
    return None if wrong is None else f"the result {wrong}"


def _of_shape(array: Array, info: Any, rows: int) -> str | None:
    expected = tf.as_dtype(info.dtype)
    if np.dtype(expected.as_numpy_dtype) != array.dtype:
        return f"is {array.dtype}, but the signature declares {expected.name}"
    if info.tensor_shape.unknown_rank:
        return _of_batch(array, rows) if array.ndim else None
    sizes = [dim.size for dim in info.tensor_shape.dim]
    fits = len(sizes) == array.ndim and all(
        size in (-1, got) for size, got in zip(sizes, array.shape, strict=True)
    )
    if not fits:
        shape = [None if size < 0 else size for size in sizes]
        return f"has the shape {list(array.shape)}, but the signature declares {shape}"
    return _of_batch(array, rows) if sizes and sizes[0] < 0 else None


def _of_batch(array: Array, rows: int) -> str | None:
    if array.shape[0] == rows:
        return None
    return f"has the shape {list(array.shape)} for {rows} row(s)"


def _of_numbers(array: Array) -> str | None:
    if array.dtype == object or not np.issubdtype(array.dtype, np.inexact):
        return None
    for name, found in (("NaN", np.isnan(array)), ("infinity", np.isinf(array))):
        if found.any():
            place = ", ".join(str(i) for i in np.argwhere(found)[0])
            return f"has {name} at [{place}], and in {found.sum()} of {array.size} values"
    return None
