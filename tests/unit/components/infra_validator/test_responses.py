"""Checks of responses against the signature."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import prediction_log_pb2

from prodml.components.infra_validator.responses import response_problem
from prodml.serving.values.tensors import to_proto

FLOAT, INT, STRING = types_pb2.DT_FLOAT, types_pb2.DT_INT64, types_pb2.DT_STRING


def checked(array: Any, dtype: int, shape: list[int] | None, rows: int) -> str | None:
    signature = meta_graph_pb2.SignatureDef()
    info = signature.outputs["y"]
    info.dtype = dtype
    if shape is None:
        info.tensor_shape.unknown_rank = True
    for size in shape or []:
        info.tensor_shape.dim.add(size=size)
    answered = prediction_log_pb2.PredictionLog()
    answered.predict_log.response.outputs["y"].CopyFrom(to_proto(np.asarray(array)))
    return response_problem(answered, signature, rows)


@pytest.mark.parametrize(
    ("array", "dtype", "shape", "rows"),
    [
        (np.float32([[1], [2]]), FLOAT, [-1, 1], 2),
        (np.int64([1, 2]), INT, [-1], 2),
        (np.array([[b"a", b"b"]], object), STRING, [-1, -1], 1),
        (np.float32(0.5), FLOAT, [], 3),
        (np.float32([1, 2, 3]), FLOAT, [3], 2),
        (np.float32([[1], [2]]), FLOAT, None, 2),
    ],
)
def test_a_response_that_matches_the_signature_is_valid(
    array: Any, dtype: int, shape: Any, rows: int
) -> None:
    assert checked(array, dtype, shape, rows) is None


@pytest.mark.parametrize(
    ("array", "dtype", "shape", "rows", "expected"),
    [
        (np.float32([[1], [np.nan]]), FLOAT, [-1, 1], 2, "has NaN at [1, 0], and in 1 of 2 values"),
        (np.float32([np.inf]), FLOAT, [-1], 1, "has infinity at [0]"),
        (np.float32([[1], [2]]), FLOAT, [-1, 1], 3, "has the shape [2, 1] for 3 row(s)"),
        (
            np.float32([1, 2]),
            FLOAT,
            [-1, 1],
            2,
            "has the shape [2], but the signature declares [None",
        ),
        (np.float32([[1, 2]]), FLOAT, [-1, 1], 1, "has the shape [1, 2], but"),
        (np.int64([1]), FLOAT, [-1], 1, "is int64, but the signature declares float32"),
        (np.float32([1]), FLOAT, None, 2, "for 2 row(s)"),
    ],
)
def test_a_response_that_does_not_match_is_described(
    array: Any, dtype: int, shape: Any, rows: int, expected: str
) -> None:
    wrong = checked(array, dtype, shape, rows)
    assert wrong is not None and expected in wrong


def test_a_missing_output_is_named() -> None:
    signature = meta_graph_pb2.SignatureDef()
    signature.outputs["y"].dtype = FLOAT
    answered = prediction_log_pb2.PredictionLog()
    answered.predict_log.response.SetInParent()
    assert response_problem(answered, signature, 1) == "output 'y' is missing"


def test_classes_and_regressions_need_one_number_per_row() -> None:
    signature = meta_graph_pb2.SignatureDef()
    classified = prediction_log_pb2.PredictionLog()
    result = classified.classify_log.response.result
    result.classifications.add().classes.add(label="late", score=float("nan"))
    assert "NaN" in str(response_problem(classified, signature, 1))
    assert response_problem(classified, signature, 2) == "1 results for 2 rows"
    regressed = prediction_log_pb2.PredictionLog()
    regressed.regress_log.response.result.regressions.add(value=1.0)
    assert response_problem(regressed, signature, 1) is None
