"""The features that a signature parses, read from exported SavedModels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.python.saved_model import loader_impl

from prodml.components.evaluator.parsed_features import parsed_features

DENSE = tf.io.FixedLenFeature([1], tf.float32)
SPEC = {
    "distance": DENSE,
    "stops": tf.io.VarLenFeature(tf.string),
    "legs": tf.io.RaggedFeature(tf.float32),
    "seats": tf.io.SparseFeature("seat_number", "seat_price", tf.float32, 10),
}


def test_dense_sparse_and_ragged_features_are_found(tmp_path: Path) -> None:
    def serve(examples: Any) -> Any:
        return tf.io.parse_example(examples, SPEC)["distance"]

    assert _parsed(serve, tmp_path) == {"distance", "stops", "legs", "seat_number", "seat_price"}


def test_features_parsed_by_inner_functions_and_twice_are_found(tmp_path: Path) -> None:
    @tf.function
    def inner(examples: Any) -> Any:
        return tf.io.parse_example(tf.identity(examples), {"hour": DENSE})["hour"]

    def serve(examples: Any) -> Any:
        rows = tf.shape(examples)[0]
        own = tf.io.parse_example(examples, {"distance": DENSE})["distance"]
        return inner(examples) + own + tf.cast(rows, tf.float32)

    assert _parsed(serve, tmp_path) == {"hour", "distance"}


@pytest.mark.parametrize(
    "otherwise",
    [
        tf.strings.length,
        tf.identity,
        lambda examples: tf.map_fn(tf.strings.length, examples, fn_output_signature=tf.int32),
        lambda examples: tf.io.parse_single_example(examples[0], {"hour": DENSE})["hour"],
        tf.function(lambda examples: tf.identity(examples)),
    ],
)
def test_none_is_returned_if_the_graph_uses_examples_in_another_way(
    otherwise: Callable[[Any], Any], tmp_path: Path
) -> None:
    def serve(examples: Any) -> Any:
        parsed = tf.io.parse_example(examples, {"distance": DENSE})["distance"]
        return {"distance": parsed, "otherwise": otherwise(examples)}

    assert _parsed(serve, tmp_path) is None


def _parsed(serve: Callable[[Any], Any], directory: Path) -> frozenset[str] | None:
    module = tf.Module()
    spec = tf.TensorSpec([None], tf.string, name="examples")
    module.serve = tf.function(
        lambda examples: (
            served if isinstance(served := serve(examples), dict) else {"outputs": served}
        ),
        input_signature=[spec],
    )
    tf.saved_model.save(module, str(directory), signatures={"serving_default": module.serve})
    [graph] = loader_impl.parse_saved_model(str(directory)).meta_graphs
    return parsed_features(graph, graph.signature_def["serving_default"])
