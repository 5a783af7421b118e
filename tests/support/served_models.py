"""Small real models of late flights, good and bad, for a model server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from prodml.artifacts import Examples, Model
from prodml.data.examples_layout import PayloadFormat, describe_examples

PARSED = {
    "distance": tf.io.FixedLenFeature([], tf.float32, 0.0),
    "hour": tf.io.FixedLenFeature([], tf.int64, 0),
    "origin": tf.io.FixedLenFeature([], tf.string, ""),
}
ROWS = pa.table(
    {
        "distance": pa.array([None, 1400.0, 200.0, 733.0, 2475.0], pa.float32()),
        "hour": pa.array([5, 18, None, 12, 23], pa.int64()),
        "origin": ["EWR", "JFK", "LGA", "EWR", "JFK"],
    }
)

Answer = Callable[[Any], Any]


class Scorer(tf.Module):
    """A model whose `serving_default` parses tf.Examples; `serving_raw` has a tensor per column."""

    def __init__(self, answer: Answer | None = None) -> None:
        super().__init__()
        self.weight = tf.Variable(0.25, name="weight")
        self._answer = answer or (lambda scores: scores)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples: Any) -> Any:
        features = tf.io.parse_example(examples, PARSED)
        return {"scores": self._scores({k: v[:, tf.newaxis] for k, v in features.items()})}

    @tf.function(
        input_signature=[
            {name: tf.TensorSpec([None, 1], spec.dtype, name=name) for name, spec in PARSED.items()}
        ]
    )
    def serve_raw(self, features: Any) -> Any:
        return {"scores": self._scores(features)}

    def _scores(self, features: Any) -> Any:
        is_newark = tf.cast(features["origin"] == b"EWR", tf.float32)
        hour = tf.cast(features["hour"], tf.float32)
        scores = self.weight * features["distance"] / 1000.0 + hour / 24.0 + is_newark
        return self._answer(scores)


def save(scorer: tf.Module, directory: Path) -> Model:
    """Saves the model in the layout of Trainer's output."""
    model = Model(uri=str(directory))
    tf.saved_model.save(
        scorer,
        model.serving_model_dir,
        signatures={"serving_default": scorer.serve, "serving_raw": scorer.serve_raw},
    )
    return model


def save_with_start(start: Callable[[], Any], directory: Path) -> Model:
    """Saves a model that runs an operation when it is loaded."""
    model = Model(uri=str(directory))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        values = tf.compat.v1.placeholder(tf.float32, [None], "x")
        signature = tf.compat.v1.saved_model.predict_signature_def({"x": values}, {"y": values * 2})
        builder = tf.compat.v1.saved_model.Builder(model.serving_model_dir)
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature}, main_op=tf.group(start())
        )
        builder.save()
    return model


def save_examples(directory: Path, rows: pa.Table = ROWS) -> Examples:
    """Saves rows in the layout of an ExampleGen's output, in one split `eval`."""
    examples = Examples(uri=str(directory))
    (directory / "Split-eval").mkdir(parents=True)
    pq.write_table(rows, directory / "Split-eval" / "data-00000.parquet")
    describe_examples(examples, PayloadFormat.PARQUET, {"eval": rows.num_rows})
    return examples


def save_classifier(directory: Path) -> Model:
    """Saves a model with signatures for Classify and Regress."""
    model = Model(uri=str(directory))
    signatures = tf.compat.v1.saved_model
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        examples = tf.compat.v1.placeholder(tf.string, [None], "examples")
        hours = tf.io.parse_example(examples, {"hour": PARSED["hour"]})["hour"]
        scores = tf.cast(hours, tf.float32)[:, tf.newaxis] / 24.0
        classes = tf.fill(tf.shape(scores), "late")
        builder = tf.compat.v1.saved_model.Builder(model.serving_model_dir)
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "classify": signatures.classification_signature_def(examples, classes, scores),
                "regress": signatures.regression_signature_def(examples, scores),
            },
        )
        builder.save()
    return model
