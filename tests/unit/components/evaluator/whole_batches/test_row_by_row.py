"""The reasons for an evaluation row by row."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from prodml.components.evaluator.contract import Capabilities
from prodml.components.evaluator.sample import Sample
from prodml.components.evaluator.tfma import config_pb2
from prodml.components.evaluator.whole_batches.row_by_row import row_by_row_reasons

USUAL = """
    model_specs { label_key: "is_late" example_weight_key: "seats" }
    slicing_specs { } slicing_specs { feature_keys: "origin" }
    metrics_specs {
      metrics { class_name: "AUC" } metrics { class_name: "ExampleCount" }
      metrics { class_name: "ConfusionMatrixPlot" }
    }
"""


def test_usual_metrics_are_evaluated_in_whole_batches() -> None:
    assert _reasons(USUAL) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "options { compute_confidence_intervals { value: true } }",
            "confidence intervals sample the rows",
        ),
        (
            'slicing_specs { slice_keys_sql: "SELECT 1" }',
            "slice_keys_sql is evaluated for each row",
        ),
        (
            'options { disabled_outputs { values: ["metrics", "plots", "attributions"] } }',
            "all outputs are disabled",
        ),
        (
            'metrics_specs { query_key: "origin" metrics { class_name: "NDCG" '
            'config: \'{"gain_key": "seats"}\' } binarize { top_k_list { values: 1 } } }',
            "query_key groups the rows",
        ),
        (
            'metrics_specs { metrics { class_name: "ExactMatch" } }',
            "metric ExactMatch is computed row by row",
        ),
        (
            'metrics_specs { metrics { class_name: "Precision" config: \'{"top_k": 2}\' } }',
            "metric Precision is computed row by row",
        ),
        (
            'metrics_specs { metrics { class_name: "RootMeanSquaredError" } }',
            "metric RootMeanSquaredError is computed row by row",
        ),
        (
            "metrics_specs { example_weights { unweighted: true } metrics { "
            'class_name: "Mean" config: \'{"feature_key_path": ["features", "seats"]}\' } }',
            "metric Mean is computed row by row",
        ),
    ],
)
def test_a_config_that_needs_single_rows_has_a_reason(text: str, reason: str) -> None:
    assert any(reason in each for each in _reasons(USUAL + text))


def test_predictions_of_unknown_length_have_a_reason() -> None:
    capabilities = _capabilities(tf.TensorShape([None, None]))
    [reason] = _reasons(USUAL, capabilities)
    assert reason == "output 'outputs' is not a vector of known length for each row"


def test_class_names_of_the_model_have_a_reason() -> None:
    capabilities = _capabilities(tf.TensorShape([None, 3]), "classes", "scores")
    assert _reasons(USUAL, capabilities) == ["the model names its classes"]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("is_late", pa.array([[1, 0], [1, 1]])),
        ("is_late", pa.array([[b"yes"], [b"no"]], pa.list_(pa.binary()))),
        ("seats", pa.array([[1.0], None])),
    ],
)
def test_labels_and_weights_that_are_not_one_number_per_row_have_a_reason(
    column: str, values: Any
) -> None:
    [reason] = _reasons(USUAL, sample=_sample(**{column: values}))
    assert reason.endswith(f"{column!r} is not one number per row")


def test_rows_without_a_label_are_not_a_reason() -> None:
    assert _reasons(USUAL, sample=_sample(is_late=pa.array([[1], None]))) == []


def _reasons(text: str, capabilities: Capabilities | None = None, sample: Any = None) -> list[str]:
    config = text_format.Parse(text, config_pb2.EvalConfig())
    found = [capabilities or _capabilities(tf.TensorShape([None, 1]))]
    return row_by_row_reasons(config, found, Sample(_sample() if sample is None else sample))


def _capabilities(shape: Any, *outputs: str) -> Capabilities:
    tensor = meta_graph_pb2.TensorInfo(dtype=types_pb2.DT_FLOAT, tensor_shape=shape.as_proto())
    return Capabilities({}, dict.fromkeys(outputs or ["outputs"], tensor), True, None, None)


def _sample(**columns: Any) -> pa.RecordBatch:
    usual = {
        "is_late": pa.array([[1], [0]]),
        "seats": pa.array([[1.0], [2.0]]),
        "origin": pa.array([[b"EWR"], [b"JFK"]], pa.list_(pa.binary())),
    }
    return pa.RecordBatch.from_pydict({**usual, **columns})
